//! A node that answers from memory.
