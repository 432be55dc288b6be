from rankshift.cache import cache_directory


def test_the_cache_is_in_the_users_home_unless_they_say_otherwise(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RANKSHIFT_CACHE", raising=False)
    assert cache_directory() == tmp_path / ".cache" / "rankshift"
    monkeypatch.setenv("RANKSHIFT_CACHE", "")
    assert cache_directory() == tmp_path / ".cache" / "rankshift"
    monkeypatch.setenv("RANKSHIFT_CACHE", str(tmp_path / "elsewhere"))
    assert cache_directory() == tmp_path / "elsewhere"
