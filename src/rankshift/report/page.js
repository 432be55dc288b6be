"use strict";
// Lists the answers that fit the filters, a page at a time. Text is only ever set as text, never
// as HTML, and what is invisible in it is written out.
(() => {
  const PAGE = 20;
  const WAIT = 150; // milliseconds after the last key before a search begins
  const find = (id) => document.getElementById(id);
  const { words, rows } = JSON.parse(find("answer-data").textContent);
  const total = rows.answer.length;
  const form = find("answer-filters");
  const filters = [...form.querySelectorAll("select:not([name=order])")];
  const { order, search } = form.elements;
  const browser = find("answer-browser");
  const list = find("answer-list");
  const template = find("answer-template");
  const HIDDEN = new RegExp(
    "[\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u3164"
    + "\\ufe00-\\ufe0e\\uffa0\\u{e0000}-\\u{e01ef}]", "u");
  const name = (mark) => `U+${mark.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  const isHidden = (mark) => mark !== "\n" && mark !== "\t" && HIDDEN.test(mark);
  const HIDDEN_RUN = new RegExp(`(${HIDDEN.source})`, "gu");
  const write = (text) => text.replace(HIDDEN_RUN, (m) => (isHidden(m) ? `[${name(m)}]` : m));
  let fitting = [];
  let first = 0;

  // Every invisible character becomes a mark that says which it is.
  const spell = (place, text) => {
    place.replaceChildren(...text.split(HIDDEN_RUN).filter((part) => part !== "").map((part) => {
      if ([...part].length !== 1 || !isHidden(part)) {
        return document.createTextNode(part);
      }
      const mark = document.createElement("span");
      mark.className = "code-point";
      mark.textContent = name(part);
      return mark;
    }));
    place.hidden = text === "";
  };

  const read = (column, row) => words[column][rows[column][row]];

  const listPage = () => {
    list.replaceChildren(...fitting.slice(first, first + PAGE).map((row) => {
      const card = template.content.cloneNode(true);
      for (const place of card.querySelectorAll("[data-field]")) {
        spell(place, read(place.dataset.field, row));
      }
      card.querySelector(".badge").dataset.outcome = read("outcome", row);
      return card;
    }));
    const last = Math.min(first + PAGE, fitting.length);
    const pages = Math.max(1, Math.ceil(fitting.length / PAGE));
    find("answer-count").textContent = fitting.length === 0
      ? "No answer fits."
      : `Answers ${(first + 1).toLocaleString("en")} to ${last.toLocaleString("en")} of `
        + `${fitting.length.toLocaleString("en")} that fit.`;
    find("answer-page").textContent =
      `page ${(first / PAGE + 1).toLocaleString("en")} of ${pages.toLocaleString("en")}`;
    find("answer-before").disabled = first === 0;
    find("answer-after").disabled = last >= fitting.length;
    find("answer-pages").hidden = pages === 1;
  };

  // Which numbers of a column have the text in them: each text is looked into once.
  const search_in = (column, text) => words[column].map((word) => word.toLowerCase().includes(text));

  const apply = () => {
    const wanted = filters.filter((filter) => filter.value !== "")
      .map((filter) => [rows[filter.name], words[filter.name].indexOf(filter.value)]);
    const text = search.value.trim().toLowerCase();
    const inAnswer = text && search_in("answer", text);
    const inPrompt = text && search_in("prompt", text);
    fitting = [];
    for (let row = 0; row < total; row += 1) {
      if (wanted.every(([column, number]) => column[row] === number)
        && (!text || inAnswer[rows.answer[row]] || inPrompt[rows.prompt[row]])) {
        fitting.push(row);
      }
    }
    if (order.value === "question") {
      fitting.sort((a, b) => places.question_set[rows.question_set[a]]
        - places.question_set[rows.question_set[b]]
        || places.question[rows.question[a]] - places.question[rows.question[b]] || a - b);
    }
    first = 0;
    listPage();
    browser.ariaBusy = null;
  };

  // `rank 4` before `rank 16`; outcomes and judges stay in the order in which they come: by badness.
  const collator = new Intl.Collator("en", { numeric: true });
  const places = {};
  for (const filter of filters) {
    const column = words[filter.name];
    const sorted = column.map((_, at) => at);
    if (filter.name !== "outcome") {
      sorted.sort((a, b) => collator.compare(column[a], column[b]));
    }
    places[filter.name] = [];
    sorted.forEach((number, place) => { places[filter.name][number] = place; });
    filter.append(...sorted.map((number) => new Option(write(column[number]), column[number])));
    filter.closest("label").hidden = column.length < 2;
  }

  let waiting = 0;
  const applySoon = () => {
    browser.ariaBusy = "true";
    clearTimeout(waiting);
    waiting = setTimeout(apply, WAIT);
  };
  const turn = (pages) => {
    first += pages * PAGE;
    listPage();
    const top = list.firstElementChild;
    top.tabIndex = -1;
    top.focus();
  };
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
  form.addEventListener("reset", () => setTimeout(apply));
  search.addEventListener("input", applySoon);
  find("answer-before").addEventListener("click", () => turn(-1));
  find("answer-after").addEventListener("click", () => turn(1));
  browser.hidden = false;
  apply();
})();
