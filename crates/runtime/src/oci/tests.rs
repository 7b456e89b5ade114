use std::collections::BTreeMap;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::*;

fn rootfs() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    append_bytes(&mut archive, "bin/true", b"not really").unwrap();
    archive.into_inner().unwrap()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config() -> ImageConfig {
    ImageConfig {
        entrypoint: vec!["/bin/true".to_owned()],
        cmd: vec!["--verbose".to_owned()],
        env: vec!["PATH=/bin".to_owned()],
        working_dir: "/srv".to_owned(),
        user: "1000".to_owned(),
        exposed_ports: vec!["80/tcp".to_owned()],
        labels: BTreeMap::from([("maker".to_owned(), "test".to_owned())]),
        stop_signal: "SIGINT".to_owned(),
    }
}

/// Makes an archive of `rootfs` and gives its files by name.
fn archive_of(rootfs: &[u8]) -> (Digest, BTreeMap<String, Vec<u8>>) {
    let directory = tempfile::tempdir().unwrap();
    let tar = directory.path().join("rootfs.tar");
    let out = directory.path().join("image.tar");
    fs::write(&tar, rootfs).unwrap();
    let digest = write_archive(&tar, "app", &config(), &out).unwrap();
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(File::open(&out).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(entry.path().unwrap().display().to_string(), bytes);
    }
    (digest, files)
}

fn blob(files: &BTreeMap<String, Vec<u8>>, descriptor: &Value) -> Vec<u8> {
    let digest: Digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
    let bytes = files.get(&blob_path(&digest)).unwrap().clone();
    assert_eq!(Digest::of(&bytes), digest);
    assert_eq!(descriptor["size"], json!(bytes.len()));
    bytes
}

#[test]
fn an_archive_leads_from_the_name_to_the_layer() {
    let (digest, files) = archive_of(&rootfs());
    assert_eq!(files["oci-layout"], LAYOUT_FILE);
    let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let entry = &index["manifests"][0];
    assert_eq!(entry["annotations"][CONTAINERD_NAME], "docker.io/library/app:latest");
    assert_eq!(entry["annotations"][REF_NAME], "latest");
    assert_eq!(entry["digest"], digest.to_string());

    let manifest: Value = serde_json::from_slice(&blob(&files, entry)).unwrap();
    assert_eq!(manifest["layers"][0]["mediaType"], LAYER_TYPE);
    assert_eq!(blob(&files, &manifest["layers"][0]), rootfs());

    let config: Value = serde_json::from_slice(&blob(&files, &manifest["config"])).unwrap();
    assert_eq!(
        config,
        json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "User": "1000",
                "ExposedPorts": {"80/tcp": {}},
                "Env": ["PATH=/bin"],
                "Entrypoint": ["/bin/true"],
                "Cmd": ["--verbose"],
                "WorkingDir": "/srv",
                "Labels": {"maker": "test"},
                "StopSignal": "SIGINT",
            },
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&rootfs())]},
            "history": [{"created_by": "crilet image import"}],
        })
    );
}

#[test]
fn a_gzipped_root_stays_gzipped_and_is_addressed_by_its_contents() {
    let (_, files) = archive_of(&gzipped(&rootfs()));
    let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let manifest: Value = serde_json::from_slice(&blob(&files, &index["manifests"][0])).unwrap();
    assert_eq!(manifest["layers"][0]["mediaType"], GZIP_LAYER_TYPE);
    assert_eq!(blob(&files, &manifest["layers"][0]), gzipped(&rootfs()));
    let config: Value = serde_json::from_slice(&blob(&files, &manifest["config"])).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][0], Digest::of(&rootfs()).to_string());
}

#[test]
fn the_same_root_gives_the_same_image() {
    assert_eq!(archive_of(&rootfs()), archive_of(&rootfs()));
}

#[test]
fn a_layout_directory_holds_the_files_of_the_archive() {
    let directory = tempfile::tempdir().unwrap();
    let tar = directory.path().join("rootfs.tar");
    fs::write(&tar, rootfs()).unwrap();
    let layout = directory.path().join("deep/layout");
    let digest = write_layout(&tar, "app", &config(), &layout).unwrap();
    let (archived_digest, files) = archive_of(&rootfs());
    assert_eq!(digest, archived_digest);
    for (name, bytes) in files {
        assert_eq!(fs::read(layout.join(&name)).unwrap(), bytes, "{name}");
    }
}

#[test]
fn what_is_no_tar_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let tar = directory.path().join("rootfs.tar");
    let whole = rootfs();
    let broken_gzip = gzipped(&whole);
    for bytes in [
        &b""[..],
        b"neither tar nor gzip",
        &[0; 1024],
        &whole[..600],
        &broken_gzip[..broken_gzip.len() / 2],
    ] {
        fs::write(&tar, bytes).unwrap();
        let out = directory.path().join("out.tar");
        let error = write_archive(&tar, "app", &config(), &out).unwrap_err();
        let expected = format!("failed to read root file system `{}`", tar.display());
        assert_eq!(error.to_string(), expected, "{bytes:?}");
        assert!(!out.exists());
    }
    let error = write_archive(&tar, "No Name", &config(), Path::new("/x")).unwrap_err();
    assert!(matches!(error, ImageError::Name(_)), "{error}");
}

#[test]
fn a_root_that_changes_meanwhile_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let tar = directory.path().join("rootfs.tar");
    fs::write(&tar, rootfs()).unwrap();
    let image = Image::from_rootfs(&tar, &config()).unwrap();
    let mut changed = rootfs();
    changed[520] ^= 1;
    fs::write(&tar, changed).unwrap();
    let error = image.write_tar(&"app".parse().unwrap(), io::sink()).unwrap_err();
    assert!(error.to_string().ends_with("changed while it was read"), "{error}");
}
