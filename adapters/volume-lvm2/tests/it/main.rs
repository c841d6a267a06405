//! Volume groups made by lvm2 on loop devices (root is needed) and by hand, read by the adapter.

mod exercise;
mod groups;
mod hostile;
mod lab;
mod made;
mod metadata;
mod refusals;
