use std::time::Duration;

use crilet_cri::inventory::PodState;

use super::world::{World, alone, container, pod, sidecar};
use crate::{
    model::{RestartAction, RestartPolicy, RestartRule},
    sync::{Action, Condemned, Health, Intent, Target, Why, status},
};

fn names(actions: &[Action]) -> Vec<String> {
    let name = |action: &Action| match action {
        Action::CreateSandbox { attempt, .. } => format!("create {attempt}"),
        Action::StopSandbox { .. } => "stop sandbox".into(),
        Action::RemoveSandbox { .. } => "remove sandbox".into(),
        Action::StartContainer { name, attempt, step, .. } => {
            format!("start {name} {attempt}/{step}")
        }
        Action::StopContainer { name, why, .. } => format!("stop {name} {why:?}"),
        Action::RemoveContainer { name, .. } => format!("remove {name}"),
        Action::RemoveFiles => "remove files".into(),
    };
    actions.iter().map(name).collect()
}

fn planned(world: &World) -> Vec<String> {
    names(&world.plan().actions)
}

fn running(init: Vec<crate::model::Container>, main: &[&str]) -> World {
    let mut world = World::new(pod(init, main.iter().map(|name| container(name)).collect()));
    world.settle();
    world
}

fn exit(world: &mut World, name: &str, code: i32) {
    let id = world.newest(name).id.clone();
    world.exit(&id, code);
}

#[test]
fn a_new_pod_gets_a_sandbox_then_all_its_containers_at_once() {
    let mut world = World::new(pod(vec![], vec![container("web"), container("db")]));
    assert_eq!(planned(&world), ["create 0"]);
    let plan = world.plan();
    world.succeed(&plan.actions[0]);
    assert_eq!(planned(&world), ["start web 0/0", "start db 0/0"]);
    world.settle();
    assert_eq!(world.plan(), Default::default(), "nothing is due");
}

#[test]
fn what_is_being_done_is_not_planned_again_and_holds_up_nothing_else() {
    let mut world = World::new(pod(vec![], vec![container("web"), container("db")]));
    let plan = world.plan();
    world.succeed(&plan.actions[0]);
    world.memory.busy.insert(Target::Container("web".into()));
    assert_eq!(planned(&world), ["start db 0/0"]);
}

#[test]
fn restarts_wait_as_the_kubelet_does_and_begin_anew_after_a_long_run() {
    let mut world = running(vec![], &["web"]);
    let mut gaps = Vec::new();
    for _ in 0..5 {
        exit(&mut world, "web", 1);
        let ended = world.now;
        world.settle();
        gaps.push(world.now.duration_since(ended).unwrap().as_secs());
    }
    assert_eq!(gaps, [0, 10, 20, 40, 80]);
    world.now += Duration::from_secs(600);
    exit(&mut world, "web", 1);
    assert_eq!(planned(&world), ["start web 6/1"]);
}

#[test]
fn what_is_started_again_in_any_case_does_not_wait_until_the_runtime_notices() {
    let ended = |container, policy| {
        let mut world = World::new(pod(vec![], vec![container]));
        world.pod.restart_policy = policy;
        world.settle();
        let id = world.newest("web").id.clone();
        world.end_unnoticed(&id);
        world
    };
    let web = || alone(container("web"));
    let mut world = ended(web(), RestartPolicy::Always);
    assert_eq!(planned(&world), ["start web 1/1"]);
    world.settle_now();
    world.notice(1);
    assert!(world.is_running("web"));

    let id = world.newest("web").id.clone();
    world.end_unnoticed(&id);
    assert_eq!(planned(&world), Vec::<String>::new(), "its backoff is not over");
    world.notice(1);
    assert_eq!(world.plan().wake, Some(world.now + Duration::from_secs(10)));

    let waits =
        |world: World, why: &str| assert_eq!(planned(&world), Vec::<String>::new(), "{why}");
    waits(ended(web(), RestartPolicy::OnFailure), "its exit code decides");
    waits(ended(container("web"), RestartPolicy::Always), "others may be left in its namespace");
    let rule = RestartRule { action: RestartAction::Restart, within: true, codes: vec![1] };
    let ruled = crate::model::Container { restart_rules: vec![rule], ..web() };
    waits(ended(ruled, RestartPolicy::Always), "its exit code chooses the rule");
}

#[test]
fn what_makes_way_for_another_is_not_ready() {
    let ready = |world: &World| {
        let pod = std::sync::Arc::new(world.pod.clone());
        let (sandboxes, plan) = (&world.sandboxes, world.plan());
        status(&pod, Intent::Run, sandboxes, &world.memory, &plan).is_ready()
    };
    let world = || {
        let mut world = running(vec![], &["web"]);
        let id = world.newest("web").id.clone();
        let healthy = Health { ready: true, ..Health::default() };
        world.memory.health.insert(id.clone(), healthy);
        assert!(ready(&world));
        (world, id)
    };
    let (mut edited, _) = world();
    edited.pod.containers[0].hash = "other".to_owned();
    assert!(!ready(&edited), "its container runs still, and is the one from before");
    let (mut moved, _) = world();
    moved.pod.sandbox_hash = "other".to_owned();
    assert!(!ready(&moved), "its sandbox is the one from before");
    let (mut ended, id) = world();
    ended.end_unnoticed(&id);
    assert!(!ready(&ended), "its process is not there any more");
}

#[test]
fn a_backoff_survives_the_process_that_keeps_the_pod() {
    let mut world = running(vec![], &["web"]);
    for _ in 0..2 {
        exit(&mut world, "web", 1);
        world.settle();
    }
    exit(&mut world, "web", 1);
    world.memory = Default::default();
    assert_eq!(planned(&world), ["remove web"], "the oldest of three");
    assert_eq!(world.plan().wake, Some(world.now + Duration::from_secs(20)));
}

#[test]
fn policies_decide_and_a_pod_whose_containers_have_ended_is_over() {
    for (policy, code, over) in [
        (RestartPolicy::Never, 0, true),
        (RestartPolicy::Never, 1, true),
        (RestartPolicy::OnFailure, 0, true),
        (RestartPolicy::OnFailure, 1, false),
        (RestartPolicy::Always, 0, false),
    ] {
        let mut world = running(vec![sidecar("proxy")], &["web"]);
        world.pod.restart_policy = policy;
        exit(&mut world, "web", code);
        let plan = world.settle();
        assert_eq!(plan.over, over, "{policy} {code}");
        assert_eq!(world.is_running("proxy"), !over, "a sidecar ends with the pod");
        // A reboot changes nothing about it.
        world.reboot();
        assert_eq!(world.settle().over, over, "{policy} {code}");
    }
}

#[test]
fn an_edit_of_one_container_restarts_that_one_alone_and_at_once() {
    let mut world = running(vec![], &["web", "db"]);
    world.pod.containers[0].hash = "web-2".into();
    assert_eq!(planned(&world), ["stop web Edited"]);
    let plan = world.plan();
    world.succeed(&plan.actions[0]);
    assert_eq!(planned(&world), ["start web 1/0"]);
}

#[test]
fn an_edit_of_the_sandbox_makes_all_anew_once_the_old_one_is_down() {
    let mut world = running(vec![], &["web"]);
    world.pod.sandbox_hash = "sandbox-2".into();
    assert_eq!(planned(&world), ["stop sandbox"]);
    let plan = world.plan();
    world.succeed(&plan.actions[0]);
    assert_eq!(planned(&world), ["create 1"]);
    let plan = world.plan();
    world.succeed(&plan.actions[0]);
    assert_eq!(planned(&world), ["remove sandbox", "start web 1/0"]);
}

#[test]
fn a_sandbox_that_died_is_stopped_and_followed_by_another() {
    let mut world = running(vec![], &["web"]);
    world.sandboxes[0].state = PodState::NotReady;
    assert_eq!(planned(&world), ["stop sandbox"]);
    world.settle();
    assert!(world.is_running("web"));
    assert_eq!(world.sandboxes.len(), 1);
    assert_eq!((world.sandboxes[0].attempt, world.newest("web").attempt), (1, 1));
}

#[test]
fn init_containers_run_one_by_one_and_sidecars_go_on() {
    let init = vec![container("first"), sidecar("proxy"), container("second")];
    let mut world = World::new(pod(init, vec![container("web")]));
    let step = |world: &mut World, expected: &str| {
        assert_eq!(planned(world), [expected]);
        let plan = world.plan();
        world.succeed(&plan.actions[0]);
    };
    step(&mut world, "create 0");
    step(&mut world, "start first 0/0");
    assert_eq!(planned(&world), [""; 0]);
    exit(&mut world, "first", 0);
    step(&mut world, "start proxy 0/0");
    assert_eq!(planned(&world), [""; 0], "its startup probe has not succeeded");
    let proxy = world.newest("proxy").id.clone();
    world.memory.health.insert(proxy, Health { started: true, ready: false });
    step(&mut world, "start second 0/0");
    exit(&mut world, "second", 0);
    step(&mut world, "start web 0/0");
    exit(&mut world, "proxy", 1);
    step(&mut world, "start proxy 1/1");
    assert_eq!(planned(&world), [""; 0], "the others are not held up, nor done again");
}

#[test]
fn a_failed_init_container_is_tried_again_or_fails_the_pod() {
    let mut world = World::new(pod(vec![container("first")], vec![container("web")]));
    world.settle_now();
    exit(&mut world, "first", 1);
    assert_eq!(planned(&world), ["start first 1/1"]);
    world.pod.restart_policy = RestartPolicy::Never;
    assert!(world.settle().over);
    assert!(!world.is_running("web"));
}

#[test]
fn an_edited_init_container_makes_the_pod_anew() {
    let mut world = World::new(pod(vec![container("first")], vec![container("web")]));
    world.settle_now();
    exit(&mut world, "first", 0);
    world.settle();
    world.pod.init[0].hash = "first-2".into();
    assert_eq!(planned(&world), ["stop sandbox"]);
}

#[test]
fn a_probe_condemns_and_rules_about_exit_codes_do_not_count_then() {
    let mut world = running(vec![], &["web"]);
    world.pod.restart_policy = RestartPolicy::Never;
    let rule = RestartRule { action: RestartAction::Restart, within: true, codes: vec![143] };
    world.pod.containers[0].restart_rules = vec![rule];
    let id = world.newest("web").id.clone();
    let condemned = Condemned { why: Why::LivenessProbe, grace: Some(Duration::from_secs(3)) };
    world.memory.condemned.insert(id, condemned);
    assert_eq!(planned(&world), ["stop web LivenessProbe"]);
    assert!(world.settle().over);
}

#[test]
fn a_restart_that_was_asked_for_happens_whatever_the_policy_says() {
    let mut world = running(vec![], &["web", "db"]);
    world.pod.restart_policy = RestartPolicy::Never;
    let id = world.newest("web").id.clone();
    world.memory.condemned.insert(id, Condemned { why: Why::Requested, grace: None });
    world.settle();
    assert!(world.is_running("web") && world.newest("web").attempt == 1);
    assert_eq!(world.newest("db").attempt, 0);
}

#[test]
fn a_rule_can_restart_all_containers_the_one_that_asked_last() {
    let rule =
        RestartRule { action: RestartAction::RestartAllContainers, within: true, codes: vec![42] };
    let mut world = World::new(pod(vec![container("first")], vec![container("a"), container("b")]));
    world.pod.containers[0].restart_rules = vec![rule];
    world.settle_now();
    exit(&mut world, "first", 0);
    world.settle();
    exit(&mut world, "a", 42);
    assert_eq!(planned(&world), ["remove first", "stop b RestartAll"]);
    for _ in 0..2 {
        let plan = world.plan();
        plan.actions.iter().for_each(|action| world.succeed(action));
    }
    assert_eq!(planned(&world), ["remove a"]);
    let plan = world.plan();
    world.succeed(&plan.actions[0]);
    assert_eq!(planned(&world), ["start first 0/0"], "the sandbox stays");
}

#[test]
fn stopped_means_stopped_and_can_be_started_again() {
    let mut world = running(vec![], &["web"]);
    world.intent = Intent::Stop;
    world.settle();
    assert_eq!((world.sandboxes.len(), world.is_running("web")), (1, false));
    world.intent = Intent::Run;
    world.settle();
    assert!(world.is_running("web"));
}

#[test]
fn a_deleted_pod_goes_with_all_its_sandboxes_then_its_files() {
    let mut world = running(vec![], &["web"]);
    world.intent = Intent::Delete;
    let mut done = Vec::new();
    while let plan = world.plan()
        && !plan.gone
    {
        done.extend(names(&plan.actions));
        plan.actions.iter().for_each(|action| world.succeed(action));
    }
    assert_eq!(done, ["stop sandbox", "remove sandbox", "remove files"]);
}

#[test]
fn a_deadline_ends_the_pod_for_good() {
    let mut world = running(vec![], &["web"]);
    world.pod.active_deadline = Some(Duration::from_secs(60));
    assert_eq!(world.plan().wake, Some(world.now + Duration::from_secs(60)));
    world.now += Duration::from_secs(60);
    assert!(world.settle().over);
    world.reboot();
    assert!(world.settle().over && !world.is_running("web"));
}

#[test]
fn what_fails_is_tried_again_after_a_pause_that_grows() {
    let mut world = World::new(pod(vec![], vec![container("web")]));
    let plan = world.plan();
    world.succeed(&plan.actions[0]);
    for seconds in [1, 2, 4] {
        let target = Target::Container("web".into());
        world.memory.failed(target, world.now, "ErrImagePull", "no such image".into());
        let plan = world.plan();
        assert_eq!(plan.actions, []);
        world.now += Duration::from_secs(seconds);
        assert_eq!(plan.wake, Some(world.now));
        assert_eq!(planned(&world), ["start web 0/0"]);
    }
}

#[test]
fn one_dead_container_of_a_name_is_kept() {
    let mut world = running(vec![], &["web"]);
    for _ in 0..4 {
        exit(&mut world, "web", 1);
        world.settle();
    }
    let attempts = |world: &World| -> Vec<u32> {
        world.sandboxes[0].containers.iter().map(|found| found.attempt).collect()
    };
    assert_eq!(attempts(&world), [3, 4]);
    world.keep_dead = 0;
    world.settle();
    assert_eq!(attempts(&world), [4]);
    exit(&mut world, "web", 1);
    assert_eq!(planned(&world), [""; 0], "what ended last says what comes next");
}

#[test]
fn containers_that_the_manifest_does_not_name_any_more_go() {
    let mut world = running(vec![], &["web", "db"]);
    world.pod.containers.pop();
    world.settle();
    assert!(!world.sandboxes[0].containers.iter().any(|found| found.name == "db"));
}
