//! Whole meshes, tested from outside: everything is in `tests/it`.
