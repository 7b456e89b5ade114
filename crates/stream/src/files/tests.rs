use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use tempfile::TempDir;

use super::{Copied, FileError, Options, Root, copy, pack, unpack};

/// A container's root with a secret beside it that nothing may reach.
fn container() -> (TempDir, Root) {
    let outer = tempfile::tempdir().unwrap();
    fs::write(outer.path().join("secret"), "secret").unwrap();
    let inner = outer.path().join("root");
    fs::create_dir_all(inner.join("etc")).unwrap();
    fs::write(inner.join("etc/inner"), "inner").unwrap();
    let root = Root::at(&inner);
    (outer, root)
}

fn out(root: &Root, from: &str, to: &Path, options: Options) -> Result<Copied, FileError> {
    copy((root, Path::new(from)), (&Root::of_host(), to), options)
}

#[test]
fn no_link_leads_out() {
    let (outer, root) = container();
    let inner = outer.path().join("root");
    for (name, target) in
        [("up", "../../../secret"), ("abs", "/secret"), ("etc/up", "../../secret")]
    {
        symlink(target, inner.join(name)).unwrap();
        let follow = Options { follow: true, ..Options::default() };
        let error = out(&root, name, &outer.path().join("got"), follow).unwrap_err();
        assert!(error.is_missing(), "{name}: {error:?}");
    }
    fs::write(inner.join("secret"), "inner").unwrap();
    let got = outer.path().join("got");
    for name in ["up", "abs", "etc/up", "../../secret"] {
        let follow = Options { follow: true, ..Options::default() };
        out(&root, name, &got, follow).unwrap();
        assert_eq!(fs::read_to_string(&got).unwrap(), "inner", "{name}");
    }
    symlink("/proc/self/root", inner.join("magic")).unwrap();
    assert!(out(&root, "magic/etc/passwd", &got, Options::default()).is_err());
}

#[test]
fn writing_replaces_links_and_never_goes_through_them() {
    let (outer, root) = container();
    let inner = outer.path().join("root");
    let new = outer.path().join("new");
    fs::write(&new, "new").unwrap();
    symlink("../secret", inner.join("file")).unwrap();
    let to =
        |path: &str| copy((&Root::of_host(), &new), (&root, Path::new(path)), Options::default());
    to("file").unwrap();
    assert_eq!(fs::read_to_string(outer.path().join("secret")).unwrap(), "secret");
    assert_eq!(fs::read_to_string(inner.join("file")).unwrap(), "new");
    // A tree over a tree whose directory has become a link.
    let tree = outer.path().join("tree/etc");
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("leak"), "leak").unwrap();
    fs::remove_dir_all(inner.join("etc")).unwrap();
    symlink("..", inner.join("etc")).unwrap();
    let source = outer.path().join("tree/.");
    let error = copy((&Root::of_host(), &source), (&root, Path::new("/")), Options::default());
    assert!(matches!(error, Err(FileError::NotDirectory { .. })), "{error:?}");
    assert!(!outer.path().join("leak").exists());
    let left = fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("crilet-cp")));
}

#[test]
fn holes_stay_holes_and_what_raises_privileges_stays_inside() {
    let (outer, root) = container();
    let path = outer.path().join("root/sparse");
    let file = File::create(&path).unwrap();
    file.write_all_at(b"begin", 0).unwrap();
    file.write_all_at(b"middle", 64 << 20).unwrap();
    file.set_len(256 << 20).unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o6751)).unwrap();
    let got = outer.path().join("got");
    let copied = out(&root, "/sparse", &got, Options::default()).unwrap();
    assert_eq!((copied.entries, copied.bytes), (1, 256 << 20));
    let meta = got.metadata().unwrap();
    assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
    assert_eq!(meta.mode() & 0o7777, 0o751);
    let mut middle = [0; 6];
    File::open(&got).unwrap().read_exact_at(&mut middle, 64 << 20).unwrap();
    assert_eq!(&middle, b"middle");
    let keep = Options { keep_privileges: true, ..Options::default() };
    out(&root, "/sparse", &got, keep).unwrap();
    assert_eq!(got.metadata().unwrap().mode() & 0o7777, 0o6751);
}

#[test]
fn a_directory_is_not_copied_into_itself() {
    let (outer, root) = container();
    let inner = outer.path().join("root");
    fs::create_dir_all(inner.join("etc/sub/deeper")).unwrap();
    let copy = |from: &str, to: &str| {
        copy((&root, Path::new(from)), (&root, Path::new(to)), Options::default())
    };
    for (from, to) in [
        ("/etc", "/etc/sub"),
        ("/etc", "/etc/new"),
        ("/etc", "/etc/sub/deeper"),
        ("/etc/.", "/etc/sub"),
    ] {
        let error = copy(from, to).unwrap_err();
        assert!(matches!(error, FileError::IntoItself { .. }), "{from} {to}: {error:?}");
    }
    assert!(!inner.join("etc/new").exists());
    assert_eq!(fs::read_dir(inner.join("etc/sub")).unwrap().count(), 1);
    // A file may go anywhere, and a directory beside itself.
    copy("/etc/inner", "/etc/sub").unwrap();
    copy("/etc", "/etc2").unwrap();
    assert!(inner.join("etc2/sub/inner").exists());
}

/// Whoever works in a container cannot end us by directories without end.
#[test]
fn directories_without_end_are_refused() {
    let (outer, root) = container();
    let mut path = outer.path().join("root/deep");
    for _ in 0..320 {
        path.push("d");
    }
    fs::create_dir_all(&path).unwrap();
    let copied = out(&root, "/deep", &outer.path().join("got"), Options::default());
    assert!(matches!(copied, Err(FileError::TooDeep { most: 300, .. })), "{copied:?}");
    let packed = pack((&root, Path::new("/deep")), Vec::new(), Options::default());
    assert!(matches!(packed, Err(FileError::TooDeep { most: 300, .. })), "{packed:?}");
    let less = format!("/deep/{}", ["d"; 21].join("/"));
    out(&root, &less, &outer.path().join("less"), Options::default()).unwrap();
}

#[test]
fn what_is_neither_file_nor_directory_is_written_into_here_and_never_replaced() {
    let (outer, root) = container();
    let got = outer.path().join("got");
    let pipe = outer.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let reading = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    let copied = out(&root, "/etc/inner", &pipe, Options::default()).unwrap();
    assert_eq!((copied.entries, copied.bytes), (1, 5));
    assert_eq!(reading.join().unwrap(), "inner");
    // As /dev/stdout is a link.
    fs::write(&got, "something longer").unwrap();
    let link = outer.path().join("link");
    symlink(&got, &link).unwrap();
    out(&root, "/etc/inner", &link, Options::default()).unwrap();
    assert_eq!(fs::read_to_string(&got).unwrap(), "inner");
    assert!(link.symlink_metadata().unwrap().is_symlink());
    // In a container nobody knows who is at the other end.
    let inside = outer.path().join("root/etc/pipe");
    nix::unistd::mkfifo(&inside, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let to = (&root, Path::new("/etc/pipe"));
    let refused = copy((&Root::of_host(), &got), to, Options::default());
    assert!(matches!(refused, Err(FileError::Special { .. })), "{refused:?}");
    assert_eq!(fs::read_dir(outer.path().join("root/etc")).unwrap().count(), 2, "nothing is left");
}

/// They say that they are empty.
#[test]
fn files_of_the_kernel_are_read_to_their_end() {
    let host = Root::at(Path::new("/"));
    let outer = tempfile::tempdir().unwrap();
    let got = outer.path().join("got");
    out(&host, "/proc/version", &got, Options::default()).unwrap();
    let version = fs::read_to_string("/proc/version").unwrap();
    assert_eq!(fs::read_to_string(&got).unwrap(), version);
    let mut archive = Vec::new();
    pack((&host, Path::new("/proc/version")), &mut archive, Options::default()).unwrap();
    let mut archive = tar::Archive::new(archive.as_slice());
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(io::read_to_string(&mut entry).unwrap(), version);
}

#[test]
fn archives_go_there_and_back() {
    let (outer, root) = container();
    let inner = outer.path().join("root");
    symlink("inner", inner.join("etc/link")).unwrap();
    fs::write(inner.join("etc").join("n".repeat(200)), "long").unwrap();
    let mut archive = Vec::new();
    let packed = pack((&root, Path::new("/etc")), &mut archive, Options::default()).unwrap();
    let to = outer.path().join("to");
    fs::create_dir(&to).unwrap();
    let host = Root::of_host();
    let unpacked = unpack(archive.as_slice(), (&host, &to), Options::default()).unwrap();
    assert_eq!((packed.entries, packed.bytes), (unpacked.entries, unpacked.bytes));
    assert_eq!(fs::read_to_string(to.join("etc/link")).unwrap(), "inner");
    assert_eq!(fs::read_to_string(to.join("etc").join("n".repeat(200))).unwrap(), "long");
    let cut = archive.get(..700).unwrap();
    let error = unpack(cut, (&host, &to), Options::default()).unwrap_err();
    assert!(matches!(error, FileError::Archive { doing: "read", .. }), "{error:?}");
}

/// A file with several names in a tree has them in the copy, over what was there, and in an archive.
#[test]
fn several_names_of_a_file_stay_together() {
    let (outer, root) = container();
    let tree = outer.path().join("root/tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    fs::write(tree.join("one"), "text").unwrap();
    fs::write(tree.join("other"), "text").unwrap();
    // One name is outside of what is copied.
    fs::hard_link(tree.join("other"), outer.path().join("root/elsewhere")).unwrap();
    for name in ["sub/two", "three"] {
        fs::hard_link(tree.join("one"), tree.join(name)).unwrap();
    }
    let looked_at = |tree: &Path| {
        let number = |name: &str| fs::metadata(tree.join(name)).unwrap().ino();
        let numbers = ["one", "sub/two", "three"].map(number);
        assert!(numbers.iter().all(|one| *one == numbers[0]), "{numbers:?}");
        assert_ne!(number("other"), numbers[0]);
        assert_eq!(fs::metadata(tree.join("one")).unwrap().nlink(), 3);
        assert_eq!(fs::metadata(tree.join("other")).unwrap().nlink(), 1);
        assert_eq!(fs::read_to_string(tree.join("sub/two")).unwrap(), "text");
        let names = fs::read_dir(tree).unwrap().flatten().count();
        assert_eq!(names, 4, "nothing is left");
    };
    let to = outer.path().join("to");
    fs::create_dir(&to).unwrap();
    for _ in 0..2 {
        let copied = out(&root, "/tree/.", &to, Options::default()).unwrap();
        assert_eq!((copied.entries, copied.bytes), (5, 8));
        looked_at(&to);
    }
    copy((&Root::of_host(), &to), (&root, Path::new("/back")), Options::default()).unwrap();
    looked_at(&outer.path().join("root/back"));
    let mut archive = Vec::new();
    let packed = pack((&root, Path::new("/tree")), &mut archive, Options::default()).unwrap();
    assert_eq!((packed.entries, packed.bytes), (6, 8));
    let apart = outer.path().join("apart");
    fs::create_dir(&apart).unwrap();
    unpack(archive.as_slice(), (&Root::of_host(), &apart), Options::default()).unwrap();
    looked_at(&apart.join("tree"));
}

#[test]
fn archives_cannot_lead_out() {
    let (outer, _) = container();
    let to = outer.path().join("root");
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    header.set_mode(0o777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    builder.append_link(&mut header, "out", "..").unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(4);
    builder.append_data(&mut header, "out/leak", b"leak".as_slice()).unwrap();
    let archive = builder.into_inner().unwrap();
    let error = unpack(archive.as_slice(), (&Root::of_host(), &to), Options::default());
    assert!(matches!(error, Err(FileError::Escapes { .. })), "{error:?}");
    assert!(!outer.path().join("leak").exists());
}

/// An archive that looks, whenever it is read, for what is written meanwhile.
struct Looking<'a> {
    archive: &'a [u8],
    directory: &'a Path,
    seen: Vec<String>,
}

impl Read for Looking<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for entry in fs::read_dir(self.directory)? {
            self.seen.push(entry?.file_name().to_string_lossy().into_owned());
        }
        self.archive.read(buffer)
    }
}

/// Who is killed in the middle leaves nothing.
#[test]
fn a_file_has_no_name_before_it_is_whole() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let content = vec![b'x'; 1 << 20];
    fs::write(from.path().join("file"), &content).unwrap();
    let mut archive = Vec::new();
    let host = Root::of_host();
    pack((&host, &from.path().join("file")), &mut archive, Options::default()).unwrap();
    let mut looking = Looking { archive: &archive, directory: to.path(), seen: Vec::new() };
    unpack(&mut looking, (&host, to.path()), Options::default()).unwrap();
    assert_eq!(fs::read(to.path().join("file")).unwrap(), content);
    looking.seen.retain(|name| name != "file");
    assert_eq!(looking.seen, [""; 0]);
}
