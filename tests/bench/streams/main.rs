//! Measures `crilet exec` and `crilet port-forward` beside the ExecSync RPC, beside connections straight
//! into the pod, and beside crictl where it is on PATH.
//!
//! The outer run makes an isolated host with crilet's own runtime and starts this program again inside
//! it. All contenders take turns within one loop.

#[path = "../host.rs"]
mod host;
#[path = "../report.rs"]
mod report;

use std::{
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use crilet_core::exec::find_program;
use crilet_cri::{
    Client, Endpoint,
    inventory::{self, Detail},
};
use crilet_stream::{Streamer, Streams, Transport};
use crilet_testkit::wait_until;
use host::{IMAGE, SOCKET};
use report::Times;
use tokio::{runtime::Runtime, time::Instant};

/// Turns of every contender, unless `--rounds N` says otherwise.
const ROUNDS: usize = 31;
/// Bytes that go through a pipe or a port in one turn.
const BYTES: usize = 100 << 20;
/// The runtime takes apart what was run in the background; the next turn must not pay for it.
const SETTLING: Duration = Duration::from_millis(100);
/// The pod: on 7000 bytes without asking, on 7001 an echo.
const SCRIPT: &str = "nc -ll -p 7000 -e head -c 104857600 /dev/zero & exec nc -ll -p 7001 -e cat";

fn main() -> Result<ExitCode> {
    host::run(ROUNDS, inside)
}

/// What takes part: crilet, and crictl if it is there.
struct Contender {
    name: &'static str,
    program: PathBuf,
    /// What it calls the container and the pod.
    container: String,
    pod: String,
}

impl Contender {
    #[expect(clippy::disallowed_methods, reason = "what is measured is this very call")]
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env("CONTAINER_RUNTIME_ENDPOINT", format!("unix://{SOCKET}")).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn exec_true(&self, container: &str) -> Result<()> {
        let status = self.command(&["exec", container, "true"]).status()?;
        ensure!(status.success(), "{} exec: {status}", self.name);
        Ok(())
    }
}

fn inside(crilet: &Path, rounds: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    run_pod(crilet)?;
    let client = runtime.block_on(Client::connect(&Endpoint::new(SOCKET)))?;
    let pods = runtime.block_on(inventory::read(&client, Detail::Pods))?;
    let pod = pods.first().context("no pod")?;
    let container = &pod.containers.first().context("no container")?.id;
    let address = pod.details.as_ref().and_then(|details| details.ips.first());
    let address = *address.context("the pod has no address")?;
    let own = Contender {
        name: "crilet",
        program: crilet.to_owned(),
        container: "bench".to_owned(),
        pod: "bench".to_owned(),
    };
    let crictl = find_program("crictl").ok().map(|program| Contender {
        name: "crictl",
        program,
        container: container.clone(),
        pod: pod.id.clone(),
    });
    let contenders: Vec<Contender> = [Some(own), crictl].into_iter().flatten().collect();
    exec_of_true(&contenders, rounds, &Calls { runtime: &runtime, client: &client, container })?;
    piped(&contenders, rounds.min(7))?;
    ports(&contenders, SocketAddr::new(address, 0), rounds)
}

fn run_pod(crilet: &Path) -> Result<()> {
    std::fs::create_dir_all("/root/bench-pod")?;
    std::fs::write(
        "/root/bench-pod/pod.yaml",
        "metadata: {name: bench, namespace: default, uid: bench}\n",
    )?;
    let container = format!(
        "metadata: {{name: main}}\nimage: {{image: '{IMAGE}'}}\ncommand: [sh, -c, '{SCRIPT}']\n"
    );
    std::fs::write("/root/bench-pod/main.yaml", container)?;
    let own = Contender {
        name: "crilet",
        program: crilet.to_owned(),
        container: String::new(),
        pod: String::new(),
    };
    let status = own.command(&["run", "/root/bench-pod"]).status()?;
    ensure!(status.success(), "crilet run: {status}");
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let begin = Instant::now();
    work()?;
    Ok(begin.elapsed())
}

/// The calls below `exec`, made by this program.
struct Calls<'a> {
    runtime: &'a Runtime,
    client: &'a Client,
    container: &'a str,
}

impl Calls<'_> {
    fn exec_sync(&self) -> Result<()> {
        let command = vec!["true".to_owned()];
        self.runtime.block_on(self.client.exec_sync(self.container, command, Duration::ZERO))?;
        Ok(())
    }

    fn settle(&self) {
        self.runtime.block_on(async { tokio::time::sleep(SETTLING).await });
    }

    /// `Exec` and its streams: what the runtime takes for them when no program is started.
    fn streamed(&self, transport: Transport) -> Result<()> {
        let streams = Streams { stdout: true, stderr: true, ..Streams::default() };
        let streamer = Streamer::new(self.client.clone()).with_transport(transport);
        self.runtime.block_on(async {
            let session = streamer.exec(self.container, &["true".to_owned()], streams).await?;
            for mut output in [session.stdout, session.stderr].into_iter().flatten() {
                while output.read().await?.is_some() {}
            }
            let code = session.ending.wait().await?;
            ensure!(code == 0, "true ended with {code}");
            Ok(())
        })
    }
}

/// One way to have `true` run.
type Way<'a> = (&'static str, Box<dyn Fn() -> Result<()> + 'a>);

fn exec_of_true(contenders: &[Contender], rounds: usize, calls: &Calls<'_>) -> Result<()> {
    let mut ways: Vec<Way<'_>> = vec![
        ("ExecSync RPC", Box::new(|| calls.exec_sync())),
        ("Exec, SPDY", Box::new(|| calls.streamed(Transport::Spdy))),
        ("Exec, WebSocket", Box::new(|| calls.streamed(Transport::WebSocket))),
    ];
    for contender in contenders {
        // By id, as the RPC has it; and by name, where there are names.
        if contender.container != calls.container {
            let by_name = || contender.exec_true(&contender.container);
            ways.push(("crilet, by name", Box::new(by_name)));
        }
        ways.push((contender.name, Box::new(|| contender.exec_true(calls.container))));
    }
    let mut times: Vec<Times> = ways.iter().map(|_| Times::default()).collect();
    for round in 0..rounds {
        // There and back, from another one each time: none comes always after the same one, whose remains
        // the runtime may still be clearing up.
        let mut order: Vec<usize> = (0..ways.len()).collect();
        order.rotate_left(round / 2 % ways.len());
        if round % 2 == 1 {
            order.reverse();
        }
        for number in order {
            calls.settle();
            times[number].push(timed(&ways[number].1)?);
        }
    }
    report::print("exec of true\n");
    for ((name, _), own) in ways.iter().zip(&times) {
        let over = own.over(&times[0]);
        report::print(&format!("  {name:16} {}, over the RPC {over}\n", own.summary()));
    }
    Ok(())
}

fn piped(contenders: &[Contender], rounds: usize) -> Result<()> {
    let path = Path::new("/root/bench-input");
    std::fs::write(path, vec![b'x'; BYTES])?;
    let mut times: Vec<Times> = contenders.iter().map(|_| Times::default()).collect();
    for _ in 0..rounds {
        for (contender, times) in contenders.iter().zip(&mut times) {
            times.push(timed(|| {
                let mut command = contender.command(&["exec", "-i", &contender.container, "cat"]);
                let status = command.stdin(File::open(path)?).status()?;
                ensure!(status.success(), "{} exec -i: {status}", contender.name);
                Ok(())
            })?);
        }
    }
    report::print(&format!("{} MiB through exec -i cat\n", BYTES >> 20));
    tell(contenders, &times);
    Ok(())
}

fn tell(contenders: &[Contender], times: &[Times]) {
    for (contender, times) in contenders.iter().zip(times) {
        report::print(&format!("  {:14} {}\n", contender.name, times.summary()));
    }
}

/// A program that forwards, ended with this.
struct Forward(Child);

impl Drop for Forward {
    fn drop(&mut self) {
        // A bench that fails says so elsewhere.
        drop(self.0.kill().and_then(|()| self.0.wait()));
    }
}

fn ports(contenders: &[Contender], pod: SocketAddr, rounds: usize) -> Result<()> {
    let mut forwards = Vec::new();
    let mut ways =
        vec![("straight", SocketAddr::new(pod.ip(), 7000), SocketAddr::new(pod.ip(), 7001))];
    for (number, contender) in (0_u16..).zip(contenders) {
        let local = 17_000 + 10 * number;
        let pairs = [format!("{local}:7000"), format!("{}:7001", local + 1)];
        let mut command = contender.command(&["port-forward", &contender.pod]);
        forwards.push(Forward(command.args(&pairs).spawn()?));
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        wait_until("a forwarded port", Duration::from_secs(30), || {
            TcpStream::connect(at(local + 1)).map(drop).map_err(|error| error.to_string())
        })?;
        ways.push((contender.name, at(local), at(local + 1)));
    }
    let mut latency: Vec<Times> = ways.iter().map(|_| Times::default()).collect();
    let mut throughput: Vec<Times> = ways.iter().map(|_| Times::default()).collect();
    for round in 0..rounds {
        for (index, (_, bytes, echo)) in ways.iter().enumerate() {
            if let Some(times) = latency.get_mut(index) {
                times.push(timed(|| echo_once(*echo))?);
            }
            if let Some(times) = throughput.get_mut(index).filter(|_| round < 7) {
                times.push(timed(|| read_all(*bytes))?);
            }
        }
    }
    for (what, all) in
        [("connect and one byte there and back", latency), ("100 MiB out of a port", throughput)]
    {
        report::print(&format!("port-forward: {what}\n"));
        for ((name, ..), times) in ways.iter().zip(&all) {
            report::print(&format!("  {name:14} {}\n", times.summary()));
        }
    }
    Ok(())
}

fn echo_once(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"x")?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    Ok(())
}

fn read_all(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let (mut buffer, mut total) = (vec![0; 256 << 10], 0);
    loop {
        match stream.read(&mut buffer)? {
            0 if total == BYTES => return Ok(()),
            0 => bail!("{total} bytes of {BYTES}"),
            read => total += read,
        }
    }
}
