//! Mergeable states.
