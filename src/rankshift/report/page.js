"use strict";
// Lists the answers that fit the filters. Text is only ever set as text, never as HTML.
(() => {
  const PAGE = 12;
  const answers = JSON.parse(document.getElementById("answer-data").textContent);
  const filters = [...document.querySelectorAll("#answer-filters select")];
  const list = document.getElementById("answer-list");
  const form = document.getElementById("answer-template");
  const count = document.getElementById("answer-count");
  const more = document.getElementById("answer-more");
  let fitting = [];
  let listed = 0;

  const fill = (card, name, text) => {
    const place = card.querySelector(`[data-field="${name}"]`);
    place.textContent = text;
    place.hidden = text === "";
  };

  const extend = () => {
    const next = fitting.slice(listed, listed + PAGE);
    for (const answer of next) {
      const card = form.content.cloneNode(true);
      for (const [name, text] of Object.entries(answer)) {
        fill(card, name, text);
      }
      card.querySelector(".badge").dataset.outcome = answer.outcome;
      list.append(card);
    }
    listed += next.length;
    more.hidden = listed === fitting.length;
    count.textContent = fitting.length === 0
      ? "No answer fits."
      : `Listing ${listed} of ${fitting.length} that fit.`;
    return next.length;
  };

  const apply = () => {
    fitting = answers.filter((answer) =>
      filters.every((filter) => filter.value === "" || answer[filter.name] === filter.value));
    list.replaceChildren();
    listed = 0;
    extend();
  };

  for (const filter of filters) {
    filter.addEventListener("change", apply);
  }
  more.addEventListener("click", () => {
    const added = extend();
    const first = list.children[listed - added];
    first.tabIndex = -1;
    first.focus();
  });
  document.getElementById("answer-browser").hidden = false;
  apply();
})();
