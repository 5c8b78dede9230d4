"""The tar of an image's files: what is in it, compiled or not, and the same wherever the files lay."""

import io
import marshal
import subprocess
import sys
import tarfile
import zipfile

from hypothesis import given
from hypothesis import strategies as st

from prism_podman.images import packing
from prism_podman.images.packing import Entry

names = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=20)


def tar_of(entries, owner=0):
    out = io.BytesIO()
    packing.pack(entries, out, owner)
    out.seek(0)
    return tarfile.open(fileobj=out)


def contents(entries):
    tar = tar_of(entries)
    return {info.name: tar.extractfile(info).read() for info in tar if info.isreg()}


def code_in(data):
    return marshal.loads(data[packing.HEADER_BYTES :])


def test_files_links_and_directories_are_as_they_are_wished():
    entries = [
        Entry("tmp", mode=0o1777),
        Entry("etc/passwd", text="root"),
        Entry("bin/python", link="python3"),
    ]

    found = {info.name: info for info in tar_of(entries, owner=7)}

    assert (found["tmp"].isdir(), found["tmp"].mode) == (True, 0o1777)
    assert found["bin/python"].linkname == "python3"
    assert {(info.uid, info.gid, info.mtime) for info in found.values()} == {(7, 7, packing.EPOCH)}


def test_a_program_stays_one_and_nobody_else_may_write_it(tmp_path):
    (tmp_path / "program").write_bytes(b"x")
    (tmp_path / "program").chmod(0o777)
    (tmp_path / "data").write_bytes(b"x")
    (tmp_path / "data").chmod(0o600)
    entries = [Entry(name, source=str(tmp_path / name)) for name in ("program", "data")]

    assert [info.mode for info in tar_of(entries)] == [0o755, 0o644]


def test_a_module_comes_compiled_and_is_not_compared_with_its_source(tmp_path):
    (tmp_path / "a.py").write_text("X = 1\ndef f():\n    return X\n")
    found = contents([Entry("site/a.py", source=str(tmp_path / "a.py"), shown="/opt/site/a.py")])

    (compiled,) = (data for name, data in found.items() if name.endswith(".pyc"))
    code = code_in(compiled)
    assert int.from_bytes(compiled[4:8], "little") == packing.UNCHECKED
    assert {code.co_filename, *(c.co_filename for c in code.co_consts if hasattr(c, "co_filename"))} == {
        "/opt/site/a.py"
    }


def test_what_lies_compiled_already_gives_the_same_bytes(tmp_path):
    source = tmp_path / "a.py"
    source.write_text("def f(x):\n    return [y for y in (x, 'a', 1.5)]\nclass A:\n    b = f\n")
    entry = Entry("a.py", source=str(source), shown="/a.py")
    anew = contents([entry])
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(tmp_path)], check=True)

    assert (tmp_path / "__pycache__").is_dir()
    assert contents([entry]) == anew


def test_compiled_files_of_another_source_are_not_believed(tmp_path):
    source = tmp_path / "a.py"
    source.write_text("X = 1\n")
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(tmp_path)], check=True)
    source.write_text("X = 22\n")

    found = contents([Entry("a.py", source=str(source), shown="/a.py")])

    assert 22 in code_in(next(data for name, data in found.items() if name.endswith(".pyc"))).co_consts


def test_what_is_no_python_is_copied_alone(tmp_path):
    (tmp_path / "template.py").write_text("{{ cookie }} def")

    found = contents([Entry("template.py", source=str(tmp_path / "template.py"), shown="/t.py")])

    assert list(found) == ["template.py"]


def test_members_of_wheels_and_texts_that_are_told_otherwise(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as wheel:
        wheel.writestr("a/b.txt", "inside")
    (tmp_path / "notes").write_text("made in /home/me/python, for /home/me/python")
    entries = [
        Entry("b.txt", source=str(tmp_path / "a.whl"), member="a/b.txt"),
        Entry("notes", source=str(tmp_path / "notes"), replace=(("/home/me/python", "/usr/local"),)),
    ]

    assert contents(entries) == {"b.txt": b"inside", "notes": b"made in /usr/local, for /usr/local"}


def test_the_program_does_what_the_function_does(tmp_path):
    (tmp_path / "a.py").write_text("X = 1\n")
    entries = [Entry("a.py", source=str(tmp_path / "a.py"), shown="/a.py"), Entry("e", text="ä")]
    command = [sys.executable, "-I", "-S", packing.__file__, "5"]

    done = subprocess.run(command, input=b"".join(packing.to_lines(entries)), capture_output=True, check=True)

    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        assert {info.uid for info in tar} == {5}
        assert {info.name: tar.extractfile(info).read() for info in tar} == contents(entries)


def test_a_file_that_is_gone_ends_the_program(tmp_path):
    lines = b"".join(packing.to_lines([Entry("a", source=str(tmp_path / "none"))]))
    command = [sys.executable, "-I", "-S", packing.__file__, "0"]

    assert subprocess.run(command, input=lines, capture_output=True).returncode == 1


@given(st.lists(st.builds(Entry, name=names, text=names, mode=st.sampled_from([0, 0o644, 0o755]))))
def test_entries_survive_the_way_to_the_program(entries):
    assert list(packing.from_lines(packing.to_lines(entries))) == entries


def test_the_program_needs_the_standard_library_alone():
    command = [sys.executable, "-I", "-S", packing.__file__, "0"]

    done = subprocess.run(command, input=b"", capture_output=True)

    assert (done.returncode, done.stderr) == (0, b"")
