//! Sheets: lines with a name and a value, for people who look at one thing closely.

use std::{collections::BTreeMap, fmt::Write};

/// Columns of the names of lines.
const NAMES: usize = 14;

/// A sheet that is being written.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    text: String,
    indent: usize,
}

impl Sheet {
    /// A value of several lines stands in one column.
    pub(crate) fn line(&mut self, name: &str, value: impl AsRef<str>) {
        let (indent, value) = (self.indent, value.as_ref());
        let width = NAMES.saturating_sub(indent);
        for (index, part) in value.lines().enumerate() {
            let name = if index == 0 { name } else { "" };
            let line = format!("{:indent$}{name:<width$}  {part}", "");
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }

    /// A line that is left out without a value.
    pub(crate) fn maybe(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.line(name, value);
        }
    }

    /// A line that is left out where there are none; each stands on a line of its own.
    pub(crate) fn list(&mut self, name: &str, values: &[String]) {
        self.maybe(name, (!values.is_empty()).then(|| values.join("\n")));
    }

    /// Labels or annotations.
    pub(crate) fn pairs(&mut self, name: &str, pairs: &BTreeMap<String, String>) {
        let lines: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        self.list(name, &lines);
    }

    /// What stands above lines that are further in.
    pub(crate) fn head(&mut self, name: &str) {
        let indent = self.indent;
        writeln!(self.text, "{:indent$}{name}", "").unwrap_or_default();
    }

    /// Writes lines that are further in.
    pub(crate) fn within(&mut self, write: impl FnOnce(&mut Self)) {
        self.indent += 2;
        write(self);
        self.indent -= 2;
    }

    /// Text that has its form already.
    pub(crate) fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// All that was written.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_in_one_column() {
        let mut sheet = Sheet::default();
        sheet.line("name", "a\nb");
        sheet.maybe("nothing", None::<&str>);
        sheet.head("inner");
        sheet.within(|sheet| sheet.pairs("labels", &[("k".into(), "v".into())].into()));
        let lines = ["name            a", "                b", "inner", "  labels        k=v", ""];
        assert_eq!(sheet.finish(), lines.join("\n"));
    }
}
