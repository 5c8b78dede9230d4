"""What a replica sees is its environment and its own, and nothing that is private."""

from hypothesis import given
from hypothesis import strategies as st

from prism_core.isolation.view import beneath, environment, importable, outermost, view, without

TREE = {
    "/home/ann": ["/home/ann/.ssh", "/home/ann/Documents", "/home/ann/project"],
    "/home/ann/project": ["/home/ann/project/data", "/home/ann/project/plugin", "/home/ann/project/.env"],
    "/home/ann/project/data": ["/home/ann/project/data/artifacts", "/home/ann/project/data/prism.db"],
}

paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


def listing(path):
    return TREE.get(path, [])


def endless(path):
    return [f"{path}/{name}" for name in "abc"] if path.count("/") < 5 else []


def find(*search, prefixes=("/usr",), modules=(), home="/home/ann"):
    return environment(prefixes, search, modules, home, listing)


def test_a_directory_is_not_beneath_one_that_begins_alike():
    assert beneath("/data/x", "/data")
    assert beneath("/data", "/data")
    assert beneath("/data", "/")
    assert not beneath("/database", "/data")


def test_what_lies_in_another_path_is_named_once():
    assert outermost(["/usr/lib", "/usr", "/usr-local", "/usr", "/usr/bin"]) == ("/usr", "/usr-local")


@given(st.lists(paths))
def test_the_outermost_paths_hold_all(found):
    kept = outermost(found)

    assert all(any(beneath(path, one) for one in kept) for path in found)
    assert not any(beneath(a, b) for a in kept for b in kept if a != b)


@given(paths, st.lists(paths, max_size=3))
def test_nothing_hidden_is_left_and_nothing_else_is_lost(path, hidden):
    left = without(path, hidden, endless)

    assert not any(beneath(part, one) or beneath(one, part) for part in left for one in hidden)
    for leaf in (f"{path}/a/a/a/a"[:11], path):
        inside = beneath(leaf, path) and not any(beneath(leaf, one) or beneath(one, leaf) for one in hidden)
        assert not inside or any(beneath(leaf, part) for part in left)


def test_a_prefix_is_seen_whole():
    assert find("/usr/lib/python3", prefixes=("/usr", "/home/ann/venv")) == ("/home/ann/venv", "/usr")


def test_of_a_source_directory_what_could_be_a_module_is_seen():
    """An editable installation: the key file beside the package is none."""
    assert find("/home/ann/project") == ("/home/ann/project/data", "/home/ann/project/plugin", "/usr")


def test_of_the_home_directory_only_what_was_imported_is_seen():
    found = find(
        "/home/ann", "/", modules=("/home/ann/tool/__init__.py", "/home/ann/tool/a.py", "/home/ann/b.py")
    )

    assert found == ("/home/ann/b.py", "/home/ann/tool", "/usr")


def test_names_of_modules():
    assert all(map(importable, ("/x/plugin", "/x/plugin.py", "/x/_c.abi3.so", "/x/a-1.0.dist-info")))
    assert not any(map(importable, ("/x/.env", "/x/.ssh", "/x/model.pkl", "/x/prism.db", "/x/id-rsa")))


def test_the_servers_directories_are_hidden_but_for_what_is_the_replicas():
    artifact, directory = "/srv/data/artifacts/sha256-1", "/srv/data/replicas/m-1-0"

    seen = view(["/usr", "/srv/data"], ["/srv/data"], [artifact, directory], [directory])

    assert seen.read == (artifact, directory, "/usr")
    assert seen.write == (directory,)
