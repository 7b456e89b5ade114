//! From lines to the bytes that are given out.

use std::io::Write;

use super::{append::append, line::Line};
use crate::format::Stream;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// What the container wrote, behind the name of its source where one is set.
    #[default]
    Text,
    /// What the container wrote and nothing else.
    Raw,
    /// One JSON object a line: `time`, `pod`, `container`, `stream`, `line`; `broken` for what is no
    /// record, `partial` for all but the last piece of a very long line.
    Json,
    /// Records as they are on disk, with fragments put together.
    Cri,
}

/// What is written with the lines of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Name {
    /// What stands before a line in [`Form::Text`], colours and the space behind it included.
    pub prefix: String,
    /// Pod and container, as JSON has them.
    pub pod: String,
    /// The container's name.
    pub container: String,
}

/// Writes lines into a buffer.
#[derive(Debug)]
pub struct Renderer {
    form: Form,
    timestamps: bool,
    prefixes: Vec<Vec<u8>>,
    /// The beginning of each source's JSON objects, behind the time.
    objects: Vec<Vec<u8>>,
    /// The source whose line is not at its end, and stands so in the output.
    open: Option<usize>,
}

impl Renderer {
    /// Writes in this form; `timestamps` puts the time before lines in [`Form::Text`] and
    /// [`Form::Raw`], the other forms have it anyway.
    pub fn new(form: Form, timestamps: bool) -> Self {
        Self { form, timestamps, prefixes: Vec::new(), objects: Vec::new(), open: None }
    }

    /// Adds a source; its number is how many there were before.
    pub fn add(&mut self, name: &Name) {
        self.prefixes.push(match self.form {
            Form::Text => name.prefix.clone().into_bytes(),
            _ => Vec::new(),
        });
        let mut object = Vec::new();
        for (key, value) in [("pod", &name.pod), ("container", &name.container)] {
            if !value.is_empty() {
                object.extend(format!(r#""{key}":"#).into_bytes());
                json_string(&mut object, value.as_bytes());
                object.push(b',');
            }
        }
        self.objects.push(object);
    }

    /// Whether it gives the lines of a source as their containers wrote them.
    pub(crate) fn is_plain(&self, source: usize) -> bool {
        let bare = self.prefixes.get(source).is_none_or(Vec::is_empty);
        matches!(self.form, Form::Text | Form::Raw) && bare && !self.timestamps
    }

    /// Adds a line of a source to `out`.
    #[inline]
    pub(crate) fn line(&mut self, source: usize, line: &Line<'_>, out: &mut Vec<u8>) {
        match self.form {
            Form::Text | Form::Raw => self.text(source, line, out),
            Form::Json => self.json(source, line, out),
            Form::Cri => cri(line, out),
        }
    }

    #[inline]
    fn text(&mut self, source: usize, line: &Line<'_>, out: &mut Vec<u8>) {
        let goes_on = self.open.take();
        if goes_on.is_some_and(|open| open != source || line.first) {
            out.push(b'\n');
        }
        if line.first || goes_on != Some(source) {
            append(out, self.prefixes.get(source).map_or(&[], Vec::as_slice));
            if self.timestamps && !line.time.is_empty() {
                append(out, line.time);
                out.push(b' ');
            }
        }
        append(out, line.content);
        if line.last {
            out.push(b'\n');
        } else {
            self.open = Some(source);
        }
    }

    fn json(&self, source: usize, line: &Line<'_>, out: &mut Vec<u8>) {
        out.push(b'{');
        if !line.time.is_empty() {
            out.extend_from_slice(br#""time":"#);
            json_string(out, line.time);
            out.push(b',');
        }
        append(out, self.objects.get(source).map_or(&[], Vec::as_slice));
        match line.stream {
            Some(Stream::Stdout) => out.extend_from_slice(br#""stream":"stdout","#),
            Some(Stream::Stderr) => out.extend_from_slice(br#""stream":"stderr","#),
            None => out.extend_from_slice(br#""broken":true,"#),
        }
        if !line.last {
            out.extend_from_slice(br#""partial":true,"#);
        }
        out.extend_from_slice(br#""line":"#);
        json_string(out, line.content);
        out.extend_from_slice(b"}\n");
    }

    /// Ends a line that was cut, when nothing more comes.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            out.push(b'\n');
        }
    }
}

fn cri(line: &Line<'_>, out: &mut Vec<u8>) {
    if let Some(stream) = line.stream {
        append(out, line.time);
        out.push(b' ');
        append(out, stream.name().as_bytes());
        out.extend_from_slice(if line.last && !line.cut { b" F " } else { b" P " });
    }
    append(out, line.content);
    out.push(b'\n');
}

/// Writes bytes as a JSON string; what is no UTF-8 is replaced.
fn json_string(out: &mut Vec<u8>, text: &[u8]) {
    if is_plain(text) {
        out.push(b'"');
        append(out, text);
        out.push(b'"');
        return;
    }
    let text = String::from_utf8_lossy(text);
    // Writing a string into memory does not fail.
    serde_json::to_writer(out.by_ref(), &*text).unwrap_or_default();
}

/// Whether a JSON string has these bytes as they are. Looks at all of them, which the compiler does
/// sixteen at a time.
fn is_plain(text: &[u8]) -> bool {
    text.iter().fold(true, |plain, &byte| {
        plain & (b' '..=b'~').contains(&byte) & (byte != b'"') & (byte != b'\\')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_string_is_what_serde_makes_of_it() {
        for text in ["", "plain ~", "\"", "\\", "\t", "\u{7f}", "é", "\0", "a\nb"] {
            let mut out = Vec::new();
            json_string(&mut out, text.as_bytes());
            assert_eq!(out, serde_json::to_vec(text).unwrap());
        }
        let mut out = Vec::new();
        json_string(&mut out, b"a\xffb");
        assert_eq!(out, "\"a\u{fffd}b\"".as_bytes());
    }
}
