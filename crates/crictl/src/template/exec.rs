//! Doing what a template says.

use super::{
    TemplateError, funcs,
    parse::{Node, Operand, Pipeline},
};
use crate::json::Json;

/// A value while a template is executed.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    /// No value at all, as the index of a key that is not there.
    Nothing,
    Data(&'a Json),
    Bool(bool),
    Text(String),
    Int(i64),
    Float(f64),
}

impl Value<'_> {
    /// What Go calls true: all but nothing, zero, and what is empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nothing | Self::Data(Json::Null) => false,
            Self::Data(Json::Bool(value)) | Self::Bool(value) => *value,
            // A number of the data is a text.
            Self::Data(Json::Number(text) | Json::String(text)) | Self::Text(text) => {
                !text.is_empty()
            }
            Self::Data(Json::Array(values)) => !values.is_empty(),
            Self::Data(Json::Object(entries)) => !entries.is_empty(),
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
        }
    }
}

/// How a list of steps ended.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// Executes steps on a value.
pub(super) fn execute(nodes: &[Node], data: &Json) -> Result<String, TemplateError> {
    let variables = vec![("$".to_owned(), Value::Data(data))];
    let mut state = State { out: String::new(), variables, line: 1 };
    state.list(nodes, &Value::Data(data))?;
    Ok(state.out)
}

struct State<'a> {
    out: String,
    variables: Vec<(String, Value<'a>)>,
    line: usize,
}

type Result<T, E = TemplateError> = std::result::Result<T, E>;

impl<'a> State<'a> {
    fn wrong<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(TemplateError::new(self.line, message))
    }

    fn list(&mut self, nodes: &[Node], dot: &Value<'a>) -> Result<Flow> {
        let known = self.variables.len();
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                self.variables.truncate(known);
                return Ok(flow);
            }
        }
        self.variables.truncate(known);
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Value<'a>) -> Result<Flow> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Print(line, pipeline) => {
                self.line = *line;
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    funcs::print(&value, &mut self.out);
                }
            }
            Node::If(line, condition, then, other) | Node::With(line, condition, then, other) => {
                self.line = *line;
                let known = self.variables.len();
                let value = self.pipeline(condition, dot)?;
                let inner = if matches!(node, Node::With(..)) { &value } else { dot };
                let flow = match value.is_true() {
                    true => self.list(then, inner),
                    false => self.list(other, dot),
                };
                self.variables.truncate(known);
                return flow;
            }
            Node::Range(line, over, body, other) => {
                self.line = *line;
                let known = self.variables.len();
                let flow = self.range(over, body, other, dot);
                self.variables.truncate(known);
                return flow;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn range(
        &mut self,
        over: &Pipeline,
        body: &[Node],
        other: &[Node],
        dot: &Value<'a>,
    ) -> Result<Flow> {
        let value = self.commands(over, dot)?;
        let items: Vec<(Value<'a>, Value<'a>)> = match &value {
            Value::Nothing | Value::Data(Json::Null) => Vec::new(),
            Value::Data(Json::Array(values)) => {
                (0..).map(Value::Int).zip(values.iter().map(Value::Data)).collect()
            }
            Value::Data(Json::Object(entries)) => {
                let entries = entries.iter();
                entries.map(|(key, value)| (Value::Text(key.clone()), Value::Data(value))).collect()
            }
            Value::Int(count) => (0..*count).map(|n| (Value::Int(n), Value::Int(n))).collect(),
            other => {
                return self.wrong(format!("range can't iterate over {}", funcs::shown(other)));
            }
        };
        if items.is_empty() {
            return self.list(other, dot);
        }
        for (key, item) in items {
            let known = self.variables.len();
            match over.variables.as_slice() {
                [one] => self.set(one, over.declare, item.clone())?,
                [first, second] => {
                    self.set(first, over.declare, key)?;
                    self.set(second, over.declare, item.clone())?;
                }
                _ => {}
            }
            let flow = self.list(body, &item)?;
            self.variables.truncate(known);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn set(&mut self, name: &str, declare: bool, value: Value<'a>) -> Result<()> {
        if declare {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => return self.wrong(format!("undefined variable \"{name}\"")),
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value<'a>) -> Result<Value<'a>> {
        let value = self.commands(pipeline, dot)?;
        for name in &pipeline.variables {
            self.set(name, pipeline.declare, value.clone())?;
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Value<'a>) -> Result<Value<'a>> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, last, dot)?);
        }
        Ok(last.unwrap_or(Value::Nothing))
    }

    /// Evaluates one command, whose last argument comes from the command before.
    fn command(
        &mut self,
        command: &[Operand],
        piped: Option<Value<'a>>,
        dot: &Value<'a>,
    ) -> Result<Value<'a>> {
        match command.split_first() {
            Some((Operand::Function(name), rest)) => {
                if matches!(name.as_str(), "and" | "or") {
                    return self.first_that_decides(name == "or", rest, piped, dot);
                }
                let mut arguments = Vec::new();
                for operand in rest {
                    arguments.push(self.operand(operand, dot)?);
                }
                arguments.extend(piped);
                funcs::call(name, &arguments)
                    .or_else(|message| self.wrong(format!("error calling {name}: {message}")))
            }
            Some((Operand::Nil, [])) => self.wrong("nil is not a command"),
            Some((only, [])) if piped.is_none() => self.operand(only, dot),
            Some(_) => self.wrong("can't give an argument to what is no function"),
            None => Ok(Value::Nothing),
        }
    }

    /// `and` and `or` look at no argument after the one that decides.
    fn first_that_decides(
        &mut self,
        wanted: bool,
        operands: &[Operand],
        piped: Option<Value<'a>>,
        dot: &Value<'a>,
    ) -> Result<Value<'a>> {
        let mut last = None;
        for operand in operands {
            let value = self.operand(operand, dot)?;
            if value.is_true() == wanted {
                return Ok(value);
            }
            last = Some(value);
        }
        match piped.or(last) {
            Some(value) => Ok(value),
            None => self.wrong("wrong number of arguments for and or or: want at least 1"),
        }
    }

    fn operand(&mut self, operand: &Operand, dot: &Value<'a>) -> Result<Value<'a>> {
        match operand {
            Operand::Dot => Ok(dot.clone()),
            Operand::Nil => Ok(Value::Nothing),
            Operand::Field(names) => self.fields(dot.clone(), names),
            Operand::Variable(name, names) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                match found.map(|(_, value)| value.clone()) {
                    Some(value) => self.fields(value, names),
                    None => self.wrong(format!("undefined variable \"{name}\"")),
                }
            }
            Operand::Bool(value) => Ok(Value::Bool(*value)),
            Operand::Text(text) => Ok(Value::Text(text.clone())),
            Operand::Int(number) => Ok(Value::Int(*number)),
            Operand::Float(number) => Ok(Value::Float(*number)),
            Operand::Function(_) => self.command(std::slice::from_ref(operand), None, dot),
            Operand::Pipeline(inner, names) => {
                let value = self.pipeline(inner, dot)?;
                self.fields(value, names)
            }
        }
    }

    fn fields(&self, mut value: Value<'a>, names: &[String]) -> Result<Value<'a>> {
        for name in names {
            value = match &value {
                Value::Data(data @ Json::Object(_)) => match data.get(name) {
                    Some(found) => Value::Data(found),
                    None => return self.wrong(format!("map has no entry for key \"{name}\"")),
                },
                Value::Nothing | Value::Data(Json::Null) => {
                    return self.wrong(format!("nil has no field {name}"));
                }
                other => {
                    let of = funcs::type_name(other);
                    return self.wrong(format!("can't evaluate field {name} in type {of}"));
                }
            };
        }
        Ok(value)
    }
}
