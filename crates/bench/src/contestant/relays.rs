//! Two bare relays: the floor. They decide nothing and encrypt nothing, so no proxy can cost less.

use std::{net::SocketAddr, process::Command};

use anyhow::{Context as _, Result};

use super::{Contestant, Running, Traffic};
use crate::{
    peer::Greeting,
    process::inside,
    world::{CLIENT_PROXY, DIRECT, LOCAL_SERVER, SERVER_PROXY, World},
};

pub(super) struct Relays;

fn arguments(command: &mut Command, listen: SocketAddr, connect: SocketAddr) {
    command.arg("relay").arg("--listen").arg(listen.to_string());
    command.arg("--connect").arg(connect.to_string());
}

impl Contestant for Relays {
    fn absence(&self, _: &World) -> Option<String> {
        None
    }

    fn start(&self, world: &World, _: Traffic) -> Result<Running> {
        let own = std::env::current_exe().context("can't find this program")?;
        let mut client = inside(&world.network.client, &own)?;
        arguments(&mut client, CLIENT_PROXY, SERVER_PROXY);
        let mut server = inside(&world.network.server, &own)?;
        arguments(&mut server, SERVER_PROXY, LOCAL_SERVER);
        Running::pair(world, "relay", client, server)
    }

    fn single(&self, _: &World) -> Result<Option<Command>> {
        let mut command = Command::new(std::env::current_exe().context("can't find this program")?);
        arguments(&mut command, CLIENT_PROXY, DIRECT);
        Ok(Some(command))
    }

    fn greeting(&self) -> Option<Greeting> {
        None
    }
}
