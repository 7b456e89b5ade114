//! Images into a runtime without a registry.

use std::time::Duration;

use crilet_testkit::{Host, Images, Output};

const NAME: &str = "crilet.test/busybox:1";

/// What `docker save` writes for an image of one file, made in the current directory.
const SAVE: &str = r#"
mkdir -p rootfs layer
echo one file >rootfs/file
tar -C rootfs -cf layer/layer.tar .
sum=$(sha256sum layer/layer.tar | cut -d' ' -f1)
cat >config.json <<END
{"architecture":"$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')","os":"linux","config":{},
 "rootfs":{"type":"layers","diff_ids":["sha256:$sum"]}}
END
cat >manifest.json <<END
[{"Config":"config.json","RepoTags":["saved:1","saved:2"],"Layers":["layer/layer.tar"]}]
END
tar -cf saved.tar manifest.json config.json layer/layer.tar
"#;

/// A host with the embedded runtime.
struct Loader {
    host: Host,
}

impl Loader {
    fn new() -> Self {
        let loader = Self { host: Host::start().unwrap() };
        loader.succeed(&["runtime", "up"], b"");
        loader
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let crilet = self.host.command(env!("CARGO_BIN_EXE_crilet")).args(arguments);
        crilet.input(input).bound(Duration::from_secs(300)).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str], input: &[u8]) -> String {
        let output = self.run(arguments, input);
        assert_eq!(output.status, 0, "crilet {arguments:?}: {output}");
        output.stdout
    }

    fn names(&self) -> Vec<String> {
        let list = self.succeed(&["image", "ls", "-o", "json"], b"");
        let images: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap();
        let tags = images.iter().flat_map(|image| image["repoTags"].as_array().unwrap().clone());
        tags.map(|tag| tag.as_str().unwrap().to_owned()).collect()
    }

    /// All blobs and unfinished writes of containerd.
    fn content(&self) -> String {
        let ctr = "ctr -a /run/crilet/runtime/containerd.sock -n k8s.io";
        let script = format!(
            "{ctr} content ls -q | sort; {ctr} content active | tail -n +2; {ctr} leases ls -q"
        );
        self.host.shell(&script).success().unwrap()
    }

    /// The program of the image runs and ends well.
    fn run_pod(&self, image: &str, command: &str) {
        let pod = "metadata: {name: one, namespace: default, uid: one-uid}\n\
                   log_directory: /root/logs\n";
        let container = format!(
            "metadata: {{name: main}}\nimage: {{image: '{image}'}}\nlog_path: main.log\n{command}"
        );
        self.host.write("/root/pod/pod.yaml", pod).unwrap();
        self.host.write("/root/pod/main.yaml", container).unwrap();
        self.succeed(&["run", "/root/pod"], b"");
    }
}

#[test]
fn an_oci_archive_is_loaded_from_a_file_and_from_a_pipe() {
    let loader = Loader::new();
    let archive = Images::archive("busybox", NAME).unwrap();
    let path = archive.to_str().unwrap();
    assert_eq!(loader.succeed(&["image", "load", path], b""), format!("{NAME}\n"));
    loader.run_pod(NAME, "");
    // Once more changes nothing.
    let content = loader.content();
    assert_eq!(loader.succeed(&["image", "load", path], b""), format!("{NAME}\n"));
    assert_eq!(loader.content(), content);

    let bytes = std::fs::read(&archive).unwrap();
    let loaded = loader.succeed(&["image", "load", "-", "--name", "piped:2"], &bytes);
    assert_eq!(loaded, "docker.io/library/piped:2\n");
    assert_eq!(loader.names(), ["crilet.dev/pause:0.1", NAME, "docker.io/library/piped:2"]);
}

#[test]
fn a_docker_archive_is_loaded_gzipped_or_not() {
    let loader = Loader::new();
    loader
        .host
        .shell(&format!("mkdir /root/save; cd /root/save; {SAVE}gzip -k saved.tar"))
        .success()
        .unwrap();
    let names = "docker.io/library/saved:1\ndocker.io/library/saved:2\n";
    assert_eq!(loader.succeed(&["image", "load", "/root/save/saved.tar"], b""), names);
    assert_eq!(loader.succeed(&["image", "load", "/root/save/saved.tar.gz"], b""), names);
    assert_eq!(loader.names().len(), 3);
}

#[test]
fn broken_archives_are_refused_whole() {
    let loader = Loader::new();
    let before = loader.content();
    let script = format!(
        "mkdir /root/save; cd /root/save; {SAVE}
         echo other >>layer/layer.tar; tar -cf forged.tar manifest.json config.json layer/layer.tar
         tar -cf without.tar manifest.json config.json
         head -c 5000 saved.tar >cut.tar; gzip -c saved.tar | head -c 200 >cut.tar.gz
         tar -cf other.tar config.json; echo no tar >text"
    );
    loader.host.shell(&script).success().unwrap();
    for (file, words) in [
        (
            "forged.tar",
            "`layer/layer.tar` in `/root/save/forged.tar` is broken: its digest is sha256:",
        ),
        ("without.tar", "`layer/layer.tar` in `/root/save/without.tar` is missing"),
        (
            "cut.tar",
            "read image archive `/root/save/cut.tar`: entry `layer/layer.tar` is cut short",
        ),
        ("cut.tar.gz", "read image archive `/root/save/cut.tar.gz`: "),
        ("other.tar", "holds neither `index.json` (OCI layout) nor `manifest.json` (docker save)"),
        ("text", "read image archive `/root/save/text`: it is no tar archive"),
        ("absent", "read image archive `/root/save/absent`: No such file or directory"),
    ] {
        let output = loader.run(&["image", "load", &format!("/root/save/{file}")], b"");
        assert_eq!(output.status, 1, "{file}: {output}");
        assert!(output.stderr.contains(words), "{file}: {output}");
        assert_eq!(loader.content(), before, "{file}");
    }
    assert_eq!(loader.names(), ["crilet.dev/pause:0.1"]);
}

#[test]
fn a_broken_oci_layer_is_not_committed() {
    let loader = Loader::new();
    let before = loader.content();
    let archive = Images::archive("busybox", NAME).unwrap();
    let mut bytes = std::fs::read(archive).unwrap();
    // Somewhere in the layer, which is by far the largest entry.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let output = loader.run(&["image", "load", "-"], &bytes);
    assert_eq!(output.status, 1, "{output}");
    assert!(output.stderr.contains("in `standard input` is broken: its digest is"), "{output}");
    assert_eq!(loader.content(), before);
}

#[test]
fn a_root_file_system_becomes_an_image_that_runs() {
    let loader = Loader::new();
    let script = "mkdir -p /root/fs/bin; cp $(command -v busybox) /root/fs/bin/busybox
                  ln -s busybox /root/fs/bin/sh; tar -C /root/fs -czf /root/fs.tar.gz .";
    loader.host.shell(script).success().unwrap();
    let said = "echo $WORD in $PWD; exec busybox sleep 600";
    let loaded = loader.succeed(
        &[
            "image",
            "import",
            "/root/fs.tar.gz",
            "tiny",
            "--entrypoint",
            "/bin/sh",
            "--cmd",
            "-c",
            "--cmd",
            said,
            "--env",
            "WORD=hello",
            "--env",
            "PATH=/bin",
            "--workdir",
            "/bin",
        ],
        b"",
    );
    assert_eq!(loaded, "docker.io/library/tiny:latest\n");
    loader.run_pod("tiny", "");
    let read = || loader.host.read("/root/logs/main.log").map_err(|error| format!("{error:#}"));
    crilet_testkit::wait_until("the program's words", Duration::from_secs(120), || {
        let log = read()?;
        if log.ends_with(" stdout F hello in /bin\n") { Ok(()) } else { Err(log) }
    })
    .unwrap();
}
