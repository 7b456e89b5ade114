//! The images of the test bed do what their namesakes do, without crilet.

use std::time::Duration;

use crilet_testkit::{Host, Images, Place, wait_until};

use crate::support::{assert_contains, host_with_containerd};

/// Far longer than anything takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(360);

/// Runs an image with `ctr` on the host's own network, with the mount and environment given.
fn run(
    host: &Host,
    image: &str,
    id: &str,
    mount: &str,
    environment: &[&str],
) -> crilet_testkit::Service {
    let (inside, outside) = mount.split_once('=').unwrap();
    host.shell(&format!("mkdir -p {outside}")).success().unwrap();
    let mount = format!("type=bind,src={outside},dst={inside},options=rbind:rw");
    let mut command = host.command("ctr").args([
        "--namespace",
        "k8s.io",
        "run",
        "--rm",
        "--net-host",
        "--mount",
        &mount,
    ]);
    for assignment in environment {
        command = command.args(["--env", assignment]);
    }
    command.args([image, id]).spawn().unwrap()
}

#[test]
fn wordpress_and_its_database_fill_empty_directories_and_answer() {
    let (host, _containerd) = host_with_containerd();
    for (recipe, name) in [("mysql", "mysql:5.7"), ("wordpress", "wordpress:latest")] {
        let reference = format!("docker.io/library/{name}");
        host.import(&Images::archive(recipe, &reference).unwrap()).unwrap();
    }
    let database = run(
        &host,
        "docker.io/library/mysql:5.7",
        "db",
        "/var/lib/mysql=/root/mysql",
        &[
            "MYSQL_DATABASE=w",
            "MYSQL_USER=u",
            "MYSQL_PASSWORD=it's",
            "MYSQL_RANDOM_ROOT_PASSWORD=1",
        ],
    );
    let site = run(
        &host,
        "docker.io/library/wordpress:latest",
        "wp",
        "/var/www/html=/root/wordpress",
        &[
            "WORDPRESS_DB_HOST=127.0.0.1",
            "WORDPRESS_DB_NAME=w",
            "WORDPRESS_DB_USER=u",
            "WORDPRESS_DB_PASSWORD=it's",
        ],
    );
    let page = wait_until("the installation page", BOUND, || {
        let page = host.http_get(Place::Inside, "http://127.0.0.1/");
        let page =
            page.map_err(|error| format!("{error:#}\n{}\n{}", database.log(), site.log()))?;
        match page.url.ends_with("/wp-admin/install.php") {
            true => Ok(page),
            false => Err(format!("{page:?}\n{}\n{}", database.log(), site.log())),
        }
    })
    .unwrap();
    assert_eq!(page.status, 200);
    assert_contains(&page.body, "WordPress &rsaquo; Installation");
    assert_contains(&database.log(), "GENERATED ROOT PASSWORD: ");
    wait_until("a word about the page", BOUND, || {
        let log = site.log();
        if log.contains("GET /wp-admin/install.php") { Ok(()) } else { Err(log) }
    })
    .unwrap();
    // Debian's links to other packages must have been followed.
    for asset in ["wp-includes/js/underscore.min.js", "wp-includes/js/tinymce/tinymce.min.js"] {
        let url = format!("http://127.0.0.1/{asset}");
        assert_eq!(host.http_get(Place::Inside, &url).unwrap().status, 200, "{asset}");
    }
    // Both end at a word, not at a kill.
    for id in ["wp", "db"] {
        host.command("ctr").args(["--namespace", "k8s.io", "task", "kill", id]).success().unwrap();
        wait_until("the end of a container", BOUND, || {
            let tasks = host.command("ctr").args(["--namespace", "k8s.io", "task", "ls"]).success();
            let tasks = tasks.map_err(|error| error.to_string())?;
            match tasks.lines().any(|line| line.starts_with(id)) {
                true => Err(tasks),
                false => Ok(()),
            }
        })
        .unwrap();
    }
}
