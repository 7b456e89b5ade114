//! From words to what is to be done.

use std::{iter::Peekable, slice::Iter};

use super::{
    TemplateError, funcs,
    lex::{Part, Word, parts},
};

/// A step of a template.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Print(usize, Pipeline),
    If(usize, Pipeline, Vec<Self>, Vec<Self>),
    With(usize, Pipeline, Vec<Self>, Vec<Self>),
    Range(usize, Pipeline, Vec<Self>, Vec<Self>),
    Break,
    Continue,
}

/// Commands, each of which gets the result of the one before as its last argument.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// Variables that get the result.
    pub(super) variables: Vec<String>,
    /// Whether they are new.
    pub(super) declare: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

/// A word of a command.
#[derive(Debug)]
pub(super) enum Operand {
    Dot,
    Nil,
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Bool(bool),
    Text(String),
    Int(i64),
    Float(f64),
    Function(String),
    Pipeline(Pipeline, Vec<String>),
}

/// Why a list of nodes ended.
enum Stop {
    Template,
    End,
    /// `else`, with the words behind it.
    Else(usize, Vec<Word>),
}

/// Reads a template.
pub(super) fn parse(template: &str) -> Result<Vec<Node>, TemplateError> {
    let parts = parts(template)?;
    let mut reader = Reader { parts: parts.iter(), loops: 0, line: 1 };
    match reader.list()? {
        (nodes, Stop::Template) => Ok(nodes),
        (_, Stop::End) => Err(reader.wrong("`end` without a beginning")),
        (_, Stop::Else(line, _)) => Err(TemplateError::new(line, "`else` without a beginning")),
    }
}

struct Reader<'a> {
    parts: Iter<'a, Part>,
    /// How many `range`s are open.
    loops: usize,
    line: usize,
}

impl Reader<'_> {
    fn wrong(&self, message: impl Into<String>) -> TemplateError {
        TemplateError::new(self.line, message)
    }

    fn list(&mut self) -> Result<(Vec<Node>, Stop), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(part) = self.parts.next() {
            let (line, words) = match part {
                Part::Text(text) => {
                    nodes.push(Node::Text(text.clone()));
                    continue;
                }
                Part::Action(line, words) => (*line, words.as_slice()),
            };
            self.line = line;
            let keyword = match words.first() {
                Some(Word::Name(name)) => name.as_str(),
                _ => "",
            };
            let rest = words.get(1..).unwrap_or_default();
            nodes.push(match keyword {
                "end" => return Ok((nodes, Stop::End)),
                "else" => return Ok((nodes, Stop::Else(line, rest.to_vec()))),
                "if" | "with" | "range" => self.block(keyword, line, rest)?,
                "break" | "continue" if self.loops == 0 => {
                    return Err(self.wrong(format!("`{keyword}` outside of a range")));
                }
                "break" => Node::Break,
                "continue" => Node::Continue,
                "define" | "template" | "block" => {
                    return Err(self.wrong(format!("`{keyword}` is not supported")));
                }
                _ => Node::Print(line, pipeline(words, line)?),
            });
        }
        Ok((nodes, Stop::Template))
    }

    fn block(&mut self, keyword: &str, line: usize, words: &[Word]) -> Result<Node, TemplateError> {
        let condition = pipeline(words, line)?;
        let ranges = usize::from(keyword == "range");
        self.loops += ranges;
        let (then, end) = self.list()?;
        self.loops -= ranges;
        let unclosed = || TemplateError::new(line, format!("`{keyword}` without its `end`"));
        let other = match end {
            Stop::End => Vec::new(),
            Stop::Template => return Err(unclosed()),
            Stop::Else(line, words) => match words.split_first() {
                None => match self.list()? {
                    (other, Stop::End) => other,
                    (_, Stop::Template) => return Err(unclosed()),
                    (_, Stop::Else(line, _)) => {
                        return Err(TemplateError::new(line, "a second `else`"));
                    }
                },
                // One `end` closes both.
                Some((Word::Name(name), rest)) if name == keyword && keyword != "range" => {
                    vec![self.block(keyword, line, rest)?]
                }
                Some(_) => return Err(TemplateError::new(line, "something behind `else`")),
            },
        };
        Ok(match keyword {
            "if" => Node::If(line, condition, then, other),
            "with" => Node::With(line, condition, then, other),
            _ => Node::Range(line, condition, then, other),
        })
    }
}

/// Reads all words as one pipeline.
fn pipeline(words: &[Word], line: usize) -> Result<Pipeline, TemplateError> {
    let mut words = words.iter().peekable();
    let pipeline = commands(&mut words, line)?;
    match words.next() {
        None => Ok(pipeline),
        Some(word) => Err(TemplateError::new(line, format!("unexpected {word:?}"))),
    }
}

type Words<'a> = Peekable<Iter<'a, Word>>;

fn commands(words: &mut Words<'_>, line: usize) -> Result<Pipeline, TemplateError> {
    let (variables, declare) = declaration(words, line)?;
    let mut commands = vec![Vec::new()];
    loop {
        match words.peek() {
            None | Some(Word::Close) => break,
            Some(Word::Pipe) => {
                words.next();
                commands.push(Vec::new());
            }
            Some(_) => {
                let operand = operand(words, line)?;
                if let Some(command) = commands.last_mut() {
                    command.push(operand);
                }
            }
        }
    }
    if commands.iter().any(Vec::is_empty) {
        return Err(TemplateError::new(line, "a value or a function is missing"));
    }
    Ok(Pipeline { variables, declare, commands })
}

/// `$a :=`, `$i, $v :=` or `$a =`.
fn declaration(words: &mut Words<'_>, line: usize) -> Result<(Vec<String>, bool), TemplateError> {
    let mut ahead = words.clone();
    let mut variables = Vec::new();
    while let Some(Word::Variable(name)) = ahead.next() {
        variables.push(name.clone());
        let word = ahead.next();
        match word {
            Some(Word::Comma) if variables.len() == 1 => {}
            Some(Word::Declare | Word::Assign) => {
                *words = ahead;
                return Ok((variables, word == Some(&Word::Declare)));
            }
            Some(Word::Comma) => return Err(TemplateError::new(line, "too many variables")),
            _ => break,
        }
    }
    Ok((Vec::new(), false))
}

fn operand(words: &mut Words<'_>, line: usize) -> Result<Operand, TemplateError> {
    let wrong = |message: String| TemplateError::new(line, message);
    let operand = match words.next() {
        Some(Word::Dot) => Operand::Dot,
        Some(Word::Field { names, .. }) => Operand::Field(names.clone()),
        Some(Word::Variable(name)) => Operand::Variable(name.clone(), joined_field(words)),
        Some(Word::Text(text)) => Operand::Text(text.clone()),
        Some(Word::Char(letter)) => Operand::Int(u32::from(*letter).into()),
        Some(Word::Number(number)) => {
            read_number(number).ok_or_else(|| wrong(format!("`{number}` is no number")))?
        }
        Some(Word::Open) => {
            let inner = commands(words, line)?;
            if words.next() != Some(&Word::Close) {
                return Err(wrong("a bracket is not closed".to_owned()));
            }
            Operand::Pipeline(inner, joined_field(words))
        }
        Some(Word::Name(name)) => match name.as_str() {
            "true" | "false" => Operand::Bool(name == "true"),
            "nil" => Operand::Nil,
            name if funcs::is_known(name) => Operand::Function(name.to_owned()),
            name if funcs::is_refused(name) => {
                return Err(wrong(format!("function `{name}` is not supported")));
            }
            name => return Err(wrong(format!("function \"{name}\" not defined"))),
        },
        Some(other) => return Err(wrong(format!("unexpected {other:?}"))),
        None => return Err(wrong("a value is missing".to_owned())),
    };
    Ok(operand)
}

/// `.a.b` that stands directly behind something is a field of it.
fn joined_field(words: &mut Words<'_>) -> Vec<String> {
    match words.peek() {
        Some(Word::Field { names, joined: true }) => {
            words.next();
            names.clone()
        }
        _ => Vec::new(),
    }
}

fn read_number(text: &str) -> Option<Operand> {
    let plain = text.replace('_', "");
    let (sign, digits) = plain.strip_prefix('-').map_or((1, plain.as_str()), |rest| (-1, rest));
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let radix = match digits.get(..2) {
        Some("0x" | "0X") => Some(16),
        Some("0o" | "0O") => Some(8),
        Some("0b" | "0B") => Some(2),
        _ => None,
    };
    if let Some(radix) = radix {
        let number = i64::from_str_radix(digits.get(2..)?, radix).ok()?;
        return Some(Operand::Int(sign * number));
    }
    let whole = plain.parse().ok().map(Operand::Int);
    whole.or_else(|| plain.parse().ok().map(Operand::Float))
}
