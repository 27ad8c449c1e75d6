//! What the operator sees and does beside the configuration: the control socket that commands use. Later also
//! metrics and a dashboard.

pub mod control;
