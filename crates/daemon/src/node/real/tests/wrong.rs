//! What is wrong with manifests.

use super::*;

#[tokio::test]
async fn a_new_file_that_cannot_be_used_is_told_though_it_has_no_pod() {
    let bed = Bed::start().await;
    bed.write("web.yaml", &web("sleep"));
    bed.ready().await;
    let new = web("sleep").replace("name: web", "name: new").replace("image:", "imgae:");
    bed.write("new.yaml", &new);
    let wait = async {
        loop {
            if let Some(problem) = bed.node.info().problems.first() {
                return problem.clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let problem = tokio::time::timeout(BOUND, wait).await.expect("it is told");
    assert_eq!(problem.reason, "InvalidManifest");
    let message = &problem.message;
    assert!(message.starts_with("the manifest cannot be used: "), "nothing goes on: {message}");
    assert!(message.contains("new.yaml") && message.contains("imgae"), "{message}");
}
