//! No proxy: what the cable, the client and the server cost by themselves.

use std::process::Command;

use anyhow::Result;

use super::{Contestant, Running, Traffic};
use crate::{
    peer::Greeting,
    world::{DIRECT, World},
};

pub(super) struct Direct;

impl Contestant for Direct {
    fn absence(&self, _: &World) -> Option<String> {
        None
    }

    fn start(&self, _: &World, _: Traffic) -> Result<Running> {
        Ok(Running { entry: DIRECT, proxies: Vec::new() })
    }

    fn single(&self, _: &World) -> Result<Option<Command>> {
        Ok(None)
    }

    fn greeting(&self) -> Option<Greeting> {
        None
    }
}
