//! Following a hundred containers, each of which writes a thousand lines a second.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use crilet_cri::{
    Client,
    fake::{Fake, FakeHandle},
    v1,
};
use tokio::time::Instant;

use crate::{command, report};

const CONTAINERS: usize = 100;
const PER_SECOND: u64 = 1000;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(10);

/// A runtime in memory with one pod of so many containers, `c0` and on, whose logs are in a directory.
pub(crate) fn fake(scratch: &Path, logs: &Path, containers: usize) -> Result<FakeHandle> {
    let socket = scratch.join(format!("fake-{containers}.sock"));
    let fake = Fake::builder().image("app:1").start(&socket)?;
    let config = v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: "many".to_owned(),
            namespace: "default".to_owned(),
            uid: "many".to_owned(),
            attempt: 0,
        }),
        log_directory: logs.display().to_string(),
        ..Default::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::connect(fake.endpoint()).await?;
        let sandbox = client.run_pod_sandbox(config.clone(), "").await?;
        for number in 0..containers {
            let container = v1::ContainerConfig {
                metadata: Some(v1::ContainerMetadata { name: format!("c{number}"), attempt: 0 }),
                image: Some(v1::ImageSpec { image: "app:1".to_owned(), ..Default::default() }),
                log_path: format!("c{number}.log"),
                ..Default::default()
            };
            let id = client.create_container(&sandbox, container, config.clone()).await?;
            client.start_container(&id).await?;
        }
        anyhow::Ok(())
    })?;
    Ok(fake)
}

/// Runs the measurement; prints a line.
pub(crate) fn run(crilet: &Path, scratch: &Path) -> Result<()> {
    let logs = scratch.join("followed");
    fs::create_dir(&logs)?;
    let fake = fake(scratch, &logs, CONTAINERS)?;
    let open = |number| {
        OpenOptions::new().create(true).append(true).open(logs.join(format!("c{number}.log")))
    };
    let files: Vec<File> = (0..CONTAINERS).map(open).collect::<Result<_, _>>()?;
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::clone(&stop);
    let writer = std::thread::spawn(move || write(&files, &written));
    let socket = fake.endpoint().path().to_str().context("path is not UTF-8")?.to_owned();
    let null = File::options().write(true).open("/dev/null")?;
    let mut follower = command(crilet, &["-r", &socket, "logs", "--follow"])
        .stdout(null)
        .stderr(Stdio::null())
        .spawn()?;
    wait(WARM_UP);
    let before = processor_time(follower.id())?;
    let start = Instant::now();
    wait(MEASURED);
    let used = processor_time(follower.id())? - before;
    let share = used.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0;
    follower.kill()?;
    follower.wait()?;
    stop.store(true, Ordering::Relaxed);
    let lines = writer.join().ok().context("the writer failed")??;
    ensure!(lines > 0, "nothing was written");
    report::print(&format!(
        "{:<34}{share:7.1} % of a core ({CONTAINERS} x {PER_SECOND} lines/s)",
        "crilet logs --follow"
    ));
    Ok(fs::remove_dir_all(logs)?)
}

/// Writes a line to each file every millisecond, as well as the machine lets it; gives the number of lines.
fn write(files: &[File], stop: &AtomicBool) -> Result<u64> {
    let start = Instant::now();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = u64::try_from(start.elapsed().as_millis())? * PER_SECOND / 1000;
        while number < due {
            number += 1;
            let line = format!(
                "2026-01-01T00:00:00.{number:09}Z stdout F line {number} of a log as a server writes it\n"
            );
            for mut file in files {
                file.write_all(line.as_bytes())?;
            }
        }
        wait(Duration::from_millis(1));
    }
    Ok(number)
}

pub(crate) fn wait(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    {
        std::thread::park_timeout(left);
    }
}

/// User and system time of a process, by ticks of a hundredth of a second.
pub(crate) fn processor_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |field: usize| -> Result<u64> {
        Ok(fields.get(field).context("no such field in stat")?.parse()?)
    };
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}
