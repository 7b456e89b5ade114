//! From the parser's events to a tree.

use std::collections::{HashMap, HashSet};

use granit_parser::{
    ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, StructureStyle, Tag,
};

use super::{
    DuplicateKey, Entry, MAX_BYTES, MAX_DEPTH, Node, ParseError, Position, Scalar, Stream, Style,
    Value, slashes,
};

/// The most nodes a stream may have once aliases are written out.
const MAX_NODES: usize = 250_000;
/// The most bytes of text a stream may have once aliases are written out.
const MAX_TEXT: usize = 4 * MAX_BYTES;

/// Reads a stream of YAML or JSON documents.
///
/// # Errors
/// The first thing that is not YAML, not UTF-8, larger than [`MAX_BYTES`], nested deeper than
/// [`MAX_DEPTH`], or that would grow out of proportion through aliases.
pub fn parse(source: &[u8]) -> Result<Stream, ParseError> {
    let text = text_of(source)?;
    read(text).map_err(|error| error.with_snippet(text))
}

fn text_of(source: &[u8]) -> Result<&str, ParseError> {
    let start = Position { line: 1, column: 1 };
    if source.len() > MAX_BYTES {
        let message = format!("larger than {} MB", MAX_BYTES / (1024 * 1024));
        return Err(ParseError::new(start, message));
    }
    if source.starts_with(&[0xFF, 0xFE]) || source.starts_with(&[0xFE, 0xFF]) {
        return Err(ParseError::new(start, "encoded as UTF-16").with_hint("save it as UTF-8"));
    }
    let source = source.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(source);
    let text = std::str::from_utf8(source).map_err(|error| {
        let valid = source.get(..error.valid_up_to()).unwrap_or_default();
        ParseError::new(end_of(&String::from_utf8_lossy(valid)), "not text in UTF-8")
    })?;
    match text.split_once('\0') {
        Some((before, _)) => Err(ParseError::new(end_of(before), "holds a NUL byte")),
        None => Ok(text),
    }
}

/// Gives the position behind the last character.
fn end_of(text: &str) -> Position {
    let text = text.replace("\r\n", "\n");
    let lines = text.split(['\n', '\r']);
    let column = lines.clone().next_back().map_or(0, |last| last.chars().count()) + 1;
    Position { line: lines.count(), column }
}

fn read(text: &str) -> Result<Stream, ParseError> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| scan_error(&error, text))?;
        builder.take(event, &span)?;
    }
    Ok(Stream { documents: builder.documents, duplicates: builder.duplicates })
}

fn scan_error(error: &ScanError, text: &str) -> ParseError {
    let position = position(error.marker());
    if let Some(comment) = slashes::find_before(text, position) {
        return comment;
    }
    let message = match error.kind() {
        ErrorKind::ExpectedFlowMappingSeparator => "expected `,` or `}` before this".to_owned(),
        ErrorKind::ExpectedFlowSequenceSeparator => "expected `,` or `]` before this".to_owned(),
        ErrorKind::MisplacedFlowCollectionEnd => "this bracket closes nothing".to_owned(),
        ErrorKind::RecursionLimitExceeded => too_deep(),
        ErrorKind::UnclosedFlowCollection { open } => format!("`{open}` is never closed"),
        ErrorKind::UnclosedQuotedScalar => "this quote is never closed".to_owned(),
        ErrorKind::UnknownAnchor => "no anchor of that name before this alias".to_owned(),
        kind => kind.to_string(),
    };
    let error = ParseError::new(position, message);
    if error.message.contains("tab") { error.with_hint("indent with spaces") } else { error }
}

fn too_deep() -> String {
    format!("nested deeper than {MAX_DEPTH} levels")
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}

/// Builds documents bottom-up; open lists and mappings wait on a stack, so depth costs no recursion.
#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    duplicates: Vec<DuplicateKey>,
    open: Vec<Collection>,
    anchors: HashMap<usize, Built>,
    nodes: usize,
    text: usize,
}

/// A finished node and how many levels of collections it holds.
#[derive(Clone)]
struct Built {
    node: Node,
    height: usize,
}

struct Collection {
    position: Position,
    anchor: usize,
    flow: bool,
    height: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping(Mapping),
}

#[derive(Default)]
struct Mapping {
    entries: Vec<Entry>,
    places: HashMap<String, usize>,
    key: Option<Key>,
    merged: Vec<Node>,
}

struct Key {
    text: String,
    position: Position,
    merge: bool,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), ParseError> {
        let position = position(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let style = resolve_style(style, tag.as_deref(), position)?;
                self.refuse_slashes(&text, style, position)?;
                let value = Value::Scalar(Scalar { text: text.into_owned(), style });
                self.finish(Built { node: Node { position, value }, height: 0 }, anchor, true)
            }
            Event::SequenceStart(style, anchor, tag) => {
                check_tag(tag.as_deref(), "seq", position)?;
                self.start(position, anchor, style, Content::Sequence(Vec::new()))
            }
            Event::MappingStart(style, anchor, tag) => {
                check_tag(tag.as_deref(), "map", position)?;
                self.start(position, anchor, style, Content::Mapping(Mapping::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let built = self.anchors.get(&anchor).cloned();
                let built = built.ok_or_else(|| {
                    ParseError::new(position, "this alias stands inside what it refers to")
                })?;
                self.charge(&built.node, position)?;
                self.finish(built, 0, false)
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Refuses an unquoted scalar that its writer meant as a comment: any key, and in JSON (flow)
    /// style any value.
    fn refuse_slashes(
        &self,
        text: &str,
        style: Style,
        position: Position,
    ) -> Result<(), ParseError> {
        let is_key = self.awaits_key() && (text.starts_with("//") || text.starts_with("/*"));
        let in_flow = self.open.last().is_some_and(|collection| collection.flow);
        if style == Style::Plain && (is_key || (in_flow && slashes::opens_comment(text))) {
            return Err(slashes::error(position, text));
        }
        Ok(())
    }

    fn awaits_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Collection { content: Content::Mapping(Mapping { key: None, .. }), .. })
        )
    }

    fn start(
        &mut self,
        position: Position,
        anchor: usize,
        style: StructureStyle,
        content: Content,
    ) -> Result<(), ParseError> {
        if self.awaits_key() {
            return Err(key_error(position));
        }
        let flow = style == StructureStyle::Flow;
        self.open.push(Collection { position, anchor, flow, height: 0, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), ParseError> {
        let Some(Collection { position, anchor, height, content, .. }) = self.open.pop() else {
            return Ok(());
        };
        let value = match content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping(mapping) => Value::Mapping(mapping.merge()?),
        };
        self.finish(Built { node: Node { position, value }, height: height + 1 }, anchor, true)
    }

    /// Puts a finished node where it belongs; `fresh` nodes were not counted before.
    fn finish(&mut self, built: Built, anchor: usize, fresh: bool) -> Result<(), ParseError> {
        if fresh {
            self.count(1, text_length(&built.node), built.node.position)?;
        }
        if anchor != 0 {
            self.charge(&built.node, built.node.position)?;
            self.anchors.insert(anchor, built.clone());
        }
        let Built { node, height } = built;
        if self.open.len() + height > MAX_DEPTH {
            return Err(ParseError::new(node.position, too_deep()));
        }
        let Some(collection) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        collection.height = collection.height.max(height);
        match &mut collection.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping(mapping) => self.duplicates.extend(mapping.take(node)?),
        }
        Ok(())
    }

    /// Counts a node that is copied, with all below it.
    fn charge(&mut self, node: &Node, position: Position) -> Result<(), ParseError> {
        self.count(1, text_length(node), position)?;
        match &node.value {
            Value::Scalar(_) => Ok(()),
            Value::Sequence(items) => items.iter().try_for_each(|item| self.charge(item, position)),
            Value::Mapping(entries) => entries.iter().try_for_each(|entry| {
                self.count(1, entry.key.len(), position)?;
                self.charge(&entry.value, position)
            }),
        }
    }

    fn count(&mut self, nodes: usize, text: usize, position: Position) -> Result<(), ParseError> {
        self.nodes += nodes;
        self.text += text;
        if self.nodes > MAX_NODES || self.text > MAX_TEXT {
            return Err(ParseError::new(position, "too many values, aliases written out"));
        }
        Ok(())
    }
}

impl Mapping {
    /// Takes a key or the value of the last key; gives the key back if it was there already.
    fn take(&mut self, node: Node) -> Result<Option<DuplicateKey>, ParseError> {
        let Some(key) = self.key.take() else {
            self.key = Some(Key::try_from(node)?);
            return Ok(None);
        };
        if key.merge {
            self.merged.push(node);
            return Ok(None);
        }
        let entry = Entry { key: key.text, position: key.position, value: node };
        let Some(place) = self.places.get(&entry.key).copied() else {
            self.places.insert(entry.key.clone(), self.entries.len());
            self.entries.push(entry);
            return Ok(None);
        };
        let first = std::mem::replace(&mut self.entries[place], entry);
        Ok(Some(DuplicateKey { key: first.key, position: key.position, first: first.position }))
    }

    /// Adds what merge keys bring and the mapping does not say itself.
    fn merge(self) -> Result<Vec<Entry>, ParseError> {
        let mut entries = self.entries;
        let mut known: HashSet<String> = self.places.into_keys().collect();
        for node in self.merged {
            let sources = match node.value {
                Value::Sequence(items) => items,
                value => vec![Node { position: node.position, value }],
            };
            for source in sources {
                let Value::Mapping(merged) = source.value else {
                    let message = "`<<` takes a mapping or a list of mappings";
                    return Err(ParseError::new(source.position, message));
                };
                entries.extend(merged.into_iter().filter(|entry| known.insert(entry.key.clone())));
            }
        }
        Ok(entries)
    }
}

impl TryFrom<Node> for Key {
    type Error = ParseError;

    fn try_from(node: Node) -> Result<Self, ParseError> {
        let Value::Scalar(scalar) = node.value else { return Err(key_error(node.position)) };
        let merge = scalar.style == Style::Plain && scalar.text == "<<";
        Ok(Self { text: scalar.text, position: node.position, merge })
    }
}

fn key_error(position: Position) -> ParseError {
    ParseError::new(position, "a key cannot be a list or a mapping")
}

fn text_length(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(scalar) => scalar.text.len(),
        Value::Sequence(_) | Value::Mapping(_) => 0,
    }
}

fn resolve_style(
    style: ScalarStyle,
    tag: Option<&Tag>,
    position: Position,
) -> Result<Style, ParseError> {
    match tag.map(|tag| (tag, tag.core_suffix())) {
        None if style == ScalarStyle::Plain => Ok(Style::Plain),
        None | Some((_, Some("str"))) => Ok(Style::Text),
        Some((_, Some("bool" | "float" | "int" | "null"))) => Ok(Style::Plain),
        Some((tag, _)) if tag.handle().is_empty() && tag.suffix() == "!" => Ok(Style::Text),
        Some((tag, _)) => Err(tag_error(tag, position)),
    }
}

fn check_tag(tag: Option<&Tag>, expected: &str, position: Position) -> Result<(), ParseError> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(expected) => Err(tag_error(tag, position)),
        _ => Ok(()),
    }
}

fn tag_error(tag: &Tag, position: Position) -> ParseError {
    ParseError::new(position, format!("tag `{}` has no meaning here", tag.original()))
}
