//! The plan against a runtime that is a handful of lists: rule by rule, and by any order of faults.

mod faults;
mod rules;
mod world;
