use std::{fs, fs::File, io::Write};

use crilet_core::ErrorChain;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use super::*;

/// An archive in the making.
#[derive(Default)]
struct Maker {
    files: Vec<(String, Vec<u8>)>,
}

impl Maker {
    fn file(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        self.files.push((name.to_owned(), bytes.to_vec()));
        self
    }

    fn json(&mut self, name: &str, value: &Value) -> &mut Self {
        self.file(name, value.to_string().as_bytes())
    }

    /// Adds a blob and gives its descriptor.
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        self.file(&blob_path(&digest), bytes);
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Adds a manifest with its blobs and gives its descriptor.
    fn image(&mut self, layer: &[u8]) -> Value {
        let config = self.blob("config", b"{}");
        let layer = self.blob(LAYER_TYPE, layer);
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
        self.blob(MANIFEST_TYPE, manifest.to_string().as_bytes())
    }

    fn index(&mut self, manifests: &[Value]) -> &mut Self {
        self.json("index.json", &json!({"schemaVersion": 2, "manifests": manifests}))
    }

    fn tar(&self) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len().try_into().unwrap());
            archive.append_data(&mut header, name, &bytes[..]).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn find(&self) -> Result<Vec<Found>, LoadError> {
        find(&self.tar(), None)
    }
}

fn find(bytes: &[u8], name: Option<&str>) -> Result<Vec<Found>, LoadError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.tar");
    fs::write(&path, bytes).unwrap();
    let archive = Archive::open(Source::Path(&path))?;
    find_images(&archive, name.map(|name| name.parse().unwrap()))
}

fn problem(result: Result<Vec<Found>, LoadError>) -> String {
    let text = ErrorChain(&result.unwrap_err()).to_string();
    // The directory is another one each time.
    let parts = text.split_once("`/").and_then(|(before, rest)| {
        rest.split_once("/a.tar").map(|(_, after)| format!("{before}`a.tar{after}"))
    });
    parts.unwrap_or(text)
}

fn named(mut descriptor: Value, annotations: Value) -> Value {
    descriptor["annotations"] = annotations;
    descriptor
}

fn names(found: &[Found]) -> Vec<Vec<String>> {
    found.iter().map(|image| image.names.iter().map(ToString::to_string).collect()).collect()
}

#[test]
fn an_oci_archive_may_hold_several_images_with_several_names() {
    let mut maker = Maker::default();
    let (one, two) = (maker.image(b"one"), maker.image(b"two"));
    maker.index(&[
        named(one.clone(), json!({CONTAINERD_NAME: "docker.io/library/one:1"})),
        named(one, json!({REF_NAME: "one:2"})),
        named(two, json!({CONTAINERD_NAME: "two", REF_NAME: "latest"})),
    ]);
    let found = maker.find().unwrap();
    assert_eq!(
        names(&found),
        [
            vec!["docker.io/library/one:1", "docker.io/library/one:2"],
            vec!["docker.io/library/two:latest"]
        ]
    );
    assert_eq!(found[0].layers[0].digest, Digest::of(b"one"));
    assert_eq!(found[0].config.digest, Digest::of(b"{}"));

    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&maker.tar()).unwrap();
    assert_eq!(find(&encoder.finish().unwrap(), None).unwrap().len(), 2);
}

#[test]
fn of_several_platforms_this_one_is_taken() {
    let mut maker = Maker::default();
    let (other, own) = (maker.image(b"other"), maker.image(b"own"));
    let platform = |mut descriptor: Value, architecture: &str| {
        descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
        descriptor
    };
    let children = [platform(other.clone(), "s390x"), platform(own, architecture())];
    let index = json!({"schemaVersion": 2, "manifests": children}).to_string();
    let index = maker.blob("application/vnd.oci.image.index.v1+json", index.as_bytes());
    maker.index(&[named(index, json!({CONTAINERD_NAME: "app"}))]);
    let found = maker.find().unwrap();
    assert_eq!(found[0].layers[0].digest, Digest::of(b"own"));

    let mut maker = Maker::default();
    let other = maker.image(b"other");
    let index = json!({"schemaVersion": 2, "manifests": [platform(other, "s390x")]}).to_string();
    let index =
        maker.blob("application/vnd.docker.distribution.manifest.list.v2+json", index.as_bytes());
    maker.index(&[named(index, json!({CONTAINERD_NAME: "app"}))]);
    let expected =
        format!("`a.tar` has no image for linux/{}, only for linux/s390x", architecture());
    assert_eq!(problem(maker.find()), expected);
}

#[test]
fn a_docker_archive_gets_a_manifest() {
    let mut maker = Maker::default();
    let config = json!({"rootfs": {"type": "layers", "diff_ids": [Digest::of(b"layer")]}});
    maker.json("abc.json", &config).file("x/layer.tar", b"layer").json(
        "manifest.json",
        &json!([{"Config": "abc.json", "RepoTags": ["app:1", "me/app"], "Layers": ["x/layer.tar"]}]),
    );
    let found = maker.find().unwrap();
    assert_eq!(names(&found), [["docker.io/library/app:1", "docker.io/me/app:latest"]]);
    let manifest: Value = serde_json::from_slice(&found[0].manifest.bytes).unwrap();
    assert_eq!(manifest["config"]["digest"], Digest::of(config.to_string().as_bytes()).to_string());
    assert_eq!(manifest["layers"][0]["mediaType"], LAYER_TYPE);
    assert_eq!(manifest["layers"][0]["digest"], Digest::of(b"layer").to_string());
    assert_eq!(manifest["layers"][0]["size"], 5);
}

#[test]
fn a_given_name_replaces_that_of_the_one_image() {
    let mut maker = Maker::default();
    let (one, two) = (maker.image(b"one"), maker.image(b"two"));
    maker.index(std::slice::from_ref(&one));
    assert_eq!(problem(maker.find()), "an image in `a.tar` has no name");
    let found = find(&maker.tar(), Some("mine")).unwrap();
    assert_eq!(names(&found), [["docker.io/library/mine:latest"]]);

    let mut maker = Maker { files: maker.files[..maker.files.len() - 1].to_vec() };
    maker.index(&[one, two]);
    assert_eq!(
        problem(find(&maker.tar(), Some("mine"))),
        "`a.tar` has 2 images; one name does not fit them all"
    );
}

#[test]
fn broken_archives_name_the_entry() {
    let neither =
        "`a.tar` holds neither `index.json` (OCI layout) nor `manifest.json` (docker save)";
    assert_eq!(problem(Maker::default().file("other", b"x").find()), neither);

    let mut maker = Maker::default();
    maker.file("index.json", b"{");
    assert!(
        problem(maker.find()).starts_with("`index.json` in `a.tar` is not what it should be: ")
    );

    let mut maker = Maker::default();
    let image = named(maker.image(b"layer"), json!({CONTAINERD_NAME: "app"}));
    maker.index(&[image]);
    let layer = blob_path(&Digest::of(b"layer"));
    let mut without = Maker { files: maker.files.clone() };
    without.files.retain(|(name, _)| *name != layer);
    assert_eq!(problem(without.find()), format!("`{layer}` in `a.tar` is missing"));

    let mut shorter = Maker { files: maker.files.clone() };
    shorter.files.iter_mut().find(|(name, _)| *name == layer).unwrap().1.pop();
    assert_eq!(problem(shorter.find()), format!("`{layer}` in `a.tar` has 4 bytes, not 5"));

    let mut forged = Maker { files: maker.files.clone() };
    let manifest = &mut forged.files[2];
    manifest.1.push(b' ');
    let expected = format!("`{}` in `a.tar` is broken: its digest is ", manifest.0);
    assert!(problem(forged.find()).starts_with(&expected));
}

#[test]
fn a_docker_layer_that_is_not_what_the_configuration_says_is_broken() {
    let mut maker = Maker::default();
    let config = json!({"rootfs": {"diff_ids": [Digest::of(b"layer")]}});
    maker.json("abc.json", &config).file("layer.tar", b"other").json(
        "manifest.json",
        &json!([{"Config": "abc.json", "RepoTags": ["app"], "Layers": ["layer.tar"]}]),
    );
    let expected = format!(
        "`layer.tar` in `a.tar` is broken: its digest is {}, not {}",
        Digest::of(b"other"),
        Digest::of(b"layer")
    );
    assert_eq!(problem(maker.find()), expected);
}

#[test]
fn digests_that_are_paths_are_refused() {
    let mut maker = Maker::default();
    let entry = json!({"mediaType": MANIFEST_TYPE, "digest": "sha256:../../etc/passwd", "size": 1});
    maker.index(&[entry]);
    assert!(problem(maker.find()).contains("is not a digest"), "{}", problem(maker.find()));
}

#[test]
fn a_layout_directory_is_read_in_place() {
    let mut maker = Maker::default();
    let image = named(maker.image(b"layer"), json!({CONTAINERD_NAME: "app"}));
    maker.index(&[image]);
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("blobs/sha256")).unwrap();
    for (name, bytes) in &maker.files {
        File::create(directory.path().join(name)).unwrap().write_all(bytes).unwrap();
    }
    let archive = Archive::open(Source::Path(directory.path())).unwrap();
    let found = find_images(&archive, None).unwrap();
    assert_eq!(names(&found), [["docker.io/library/app:latest"]]);
}
