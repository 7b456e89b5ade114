//! Any message that prost-reflect prints is read back as it was, and nothing makes a panic.

use proptest::{collection::vec, option, prelude::*};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind as FieldKind, MapKey, MessageDescriptor,
    SerializeOptions, Value,
};

use super::*;

fn text() -> BoxedStrategy<String> {
    let yaml = "[a-z0-9~:#&*!|>'\"%@`,{}\\[\\]<=\\\\/ \t\n\r-]{0,12}";
    let words = prop::sample::select(vec!["null", "true", "1", "0x1", "~", "//", "<<", "- a"]);
    // YAML wants these escaped, which JSON printers do not.
    let printable = "[^\\x00\\x7f-\u{9f}\u{feff}\u{fffe}\u{ffff}]{0,6}";
    prop_oneof![yaml, printable, words.prop_map(str::to_owned)].boxed()
}

fn value(kind: &FieldKind) -> BoxedStrategy<Value> {
    match kind {
        FieldKind::String => text().prop_map(Value::String).boxed(),
        FieldKind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        FieldKind::Int32 => any::<i32>().prop_map(Value::I32).boxed(),
        FieldKind::Uint32 => any::<u32>().prop_map(Value::U32).boxed(),
        FieldKind::Int64 => any::<i64>().prop_map(Value::I64).boxed(),
        FieldKind::Uint64 => any::<u64>().prop_map(Value::U64).boxed(),
        // prost-reflect prints bytes as base64; the CRI's files have text there.
        FieldKind::Bytes => Just(Value::Bytes(Default::default())).boxed(),
        FieldKind::Enum(descriptor) => {
            let numbers: Vec<i32> = descriptor.values().map(|value| value.number()).collect();
            prop::sample::select(numbers).prop_map(Value::EnumNumber).boxed()
        }
        FieldKind::Message(descriptor) => message(descriptor).prop_map(Value::Message).boxed(),
        other => panic!("no configuration has a field of kind {other:?}"),
    }
}

fn field(field: &FieldDescriptor) -> BoxedStrategy<Value> {
    match field.kind() {
        FieldKind::Message(entry) if field.is_map() => {
            let value = value(&entry.map_entry_value_field().kind());
            let entry = (text().prop_map(MapKey::String), value);
            prop::collection::hash_map(entry.0, entry.1, 0..3).prop_map(Value::Map).boxed()
        }
        kind if field.is_list() => vec(value(&kind), 0..3).prop_map(Value::List).boxed(),
        kind => value(&kind),
    }
}

/// Any message of this type, each field given or not.
fn message(descriptor: &MessageDescriptor) -> BoxedStrategy<DynamicMessage> {
    let fields: Vec<_> = descriptor.fields().collect();
    let values: Vec<_> = fields.iter().map(|given| option::of(field(given))).collect();
    let descriptor = descriptor.clone();
    values
        .prop_map(move |values| {
            let mut message = DynamicMessage::new(descriptor.clone());
            for (field, value) in fields.iter().zip(values) {
                if let Some(value) = value {
                    message.set_field(field, value);
                }
            }
            message
        })
        .boxed()
}

fn print(message: &DynamicMessage, options: &SerializeOptions) -> String {
    let mut output = Vec::new();
    let mut serializer = serde_json::Serializer::pretty(&mut output);
    message.serialize_with_options(&mut serializer, options).unwrap();
    String::from_utf8(output).unwrap()
}

/// A message whose `Debug` is short enough to be read when a test fails.
struct Config(DynamicMessage);

impl std::fmt::Debug for Config {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&print(&self.0, &SerializeOptions::new()))
    }
}

fn config(kind: Kind) -> impl Strategy<Value = Config> {
    let name = format!("runtime.v1.{}", kind.message().name);
    message(&crate::schema::descriptor_pool().get_message_by_name(&name).unwrap()).prop_map(Config)
}

/// The two forms: the one of crictl's files, and the one of protobuf's JSON.
fn forms() -> [SerializeOptions; 2] {
    let snake = SerializeOptions::new().use_proto_field_name(true).use_enum_numbers(true);
    let camel = SerializeOptions::new().use_proto_field_name(false).use_enum_numbers(false);
    [snake.stringify_64_bit_integers(false), camel.skip_default_fields(false)]
}

fn decoded<T: Message + Default>(kind: Kind, source: &str) -> T {
    let documents = crilet_core::yaml::parse(source.as_bytes()).unwrap();
    let mut report = Report::new(Path::new("file"), Strictness::Strict);
    let documents = documents.without_duplicates().unwrap();
    let (message, _) = decode::decode(kind, &documents[0], &mut report);
    let findings = Findings(report.into_findings());
    assert_eq!(findings.0, [], "{findings}\n{source}");
    T::decode(message.as_slice()).unwrap()
}

fn check_round_trip<T: Message + Default + PartialEq + std::fmt::Debug>(
    kind: Kind,
    message: &DynamicMessage,
) {
    let typed: T = message.transcode_to().unwrap();
    for form in forms() {
        let source = print(message, &form);
        assert_eq!(decoded::<T>(kind, &source), typed, "{source}");
    }
}

proptest! {
    #[test]
    fn any_pod_is_read_back(config in config(Kind::Pod)) {
        check_round_trip::<v1::PodSandboxConfig>(Kind::Pod, &config.0);
    }

    #[test]
    fn any_container_is_read_back(config in config(Kind::Container)) {
        check_round_trip::<v1::ContainerConfig>(Kind::Container, &config.0);
    }

    #[test]
    fn damaged_files_give_a_pod_or_findings(
        pod in config(Kind::Pod),
        container in config(Kind::Container),
        damage in vec((any::<prop::sample::Index>(), "[\\[\\]{}:,\"'a1~ -]{0,2}"), 0..4),
    ) {
        let [snake, camel] = forms();
        let mut source = format!("{}\n---\n{}\n", print(&pod.0, &snake), print(&container.0, &camel));
        for (place, text) in damage {
            let places: Vec<usize> = source.char_indices().map(|(index, _)| index).collect();
            source.insert_str(*place.get(&places), &text);
        }
        if let Err(findings) = read_text(&source) {
            prop_assert!(!findings.0.is_empty());
        }
    }

    #[test]
    fn any_bytes_are_refused(source in vec(any::<u8>(), 0..100)) {
        prop_assert!(pod_files::read(&["-".into()], &mut source.as_slice()).is_err());
    }
}
