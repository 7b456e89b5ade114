use serde_json::json;

use super::*;

fn attachment(capabilities: Value, result: Value) -> Attachment {
    Attachment { capabilities: Some(capabilities), result: Some(result), ..Attachment::default() }
}

#[test]
fn what_the_runtime_says_of_names_comes_before_what_plugins_say() {
    let plugins = json!({"dns": {"nameservers": ["192.0.2.9"], "search": ["example"]}});
    let both =
        attachment(json!({"dns": {"Servers": ["192.0.2.8"], "Searches": []}}), plugins.clone());
    assert_eq!(dns(&[&both]).nameservers, ["192.0.2.8"]);
    let one = attachment(json!({}), plugins);
    assert_eq!(
        (dns(&[&one]).nameservers, dns(&[&one]).search),
        (vec!["192.0.2.9".to_owned()], vec!["example".to_owned()])
    );
    assert_eq!(dns(&[]), Dns::default());
}
