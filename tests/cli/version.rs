//! `crilet version`.

use crilet_cri::{ApiVersion, fake::Fake};

use crate::bed::Bed;

#[test]
fn both_versions_and_the_way_to_the_runtime_are_told() {
    let bed = Bed::new(Fake::builder());
    insta::assert_snapshot!("text", bed.crilet("version").run());
    insta::assert_snapshot!("json", bed.crilet("version --output json").run());
    insta::assert_snapshot!("flag", bed.crilet("--version").run());
}

#[test]
fn a_runtime_that_only_knows_the_older_cri_is_spoken_to() {
    let bed = Bed::new(Fake::builder().only(ApiVersion::V1Alpha2).image("app:1"));
    insta::assert_snapshot!(bed.crilet("version").run());
    bed.pod("web", "");
    let outcome = bed.crilet("run web").run();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert_eq!(bed.fake.counts(), (1, 1));
    assert!(bed.fake.calls().iter().all(|call| call.version == ApiVersion::V1Alpha2));
}

#[test]
fn its_own_version_is_told_where_no_runtime_answers() {
    let bed = Bed::new(Fake::builder());
    let outcome = bed.crilet("version -r unix:///nowhere/cri.sock").run();
    let own = format!("crilet    {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((outcome.code(), outcome.stdout.as_str()), (Some(3), own.as_str()), "{outcome}");
}

#[test]
fn crio_is_told_by_its_name() {
    let bed = Bed::new(Fake::builder().crio());
    let outcome = bed.crilet("version").run();
    assert!(outcome.stdout.contains("runtime   cri-o 1.30.0\n"), "{outcome}");
}
