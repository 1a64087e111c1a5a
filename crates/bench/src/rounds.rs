//! The run: rounds in which every contestant has its turn, so that whatever else the machine does hits all alike.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    contestant::{Name, Running, Traffic},
    http, instructions, limits,
    load::{Load, Outcome},
    options::{Options, Part},
    output,
    peer::{self, Greeting},
    process::Process,
    report::Report,
    statistics::Summary,
    usage::{Cpu, Memory, sockets},
    world::{SERVER_PROXY, World, answered, body, first_answer},
};

/// What one contestant's turns gave: values by figure, one per round.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Figures(pub(crate) BTreeMap<String, Vec<f64>>);

impl Figures {
    pub(crate) fn add(&mut self, figure: impl Into<String>, value: f64) {
        match self.0.entry(figure.into()) {
            Entry::Vacant(entry) => drop(entry.insert(vec![value])),
            Entry::Occupied(mut entry) => entry.get_mut().push(value),
        }
    }

    /// The value of a round; none once some round has failed, since values don't know their round.
    fn of_round(&self, figure: &str, round: u16) -> Option<f64> {
        let values = self.0.get(figure)?;
        values.last().copied().filter(|_| values.len() == usize::from(round))
    }
}

/// Measures, prints the table and writes the figures.
pub(crate) fn run(options: &Options) -> Result<()> {
    let world = World::new(options)?;
    let mut report = Report::new(options);
    let mut present = Vec::new();
    for name in options.contestants() {
        match name.contestant().absence(&world) {
            Some(reason) => report.absent(name, reason),
            None => present.push(name),
        }
    }
    for round in 1..=options.rounds() {
        for name in &present {
            output::line(&format!("round {round} of {}: {}", options.rounds(), name.text()));
            if let Err(failure) = turn(&world, options, *name, report.of(*name)) {
                report.failed(*name, &failure.context(format!("round {round}")));
            }
        }
        report.compare(round);
    }
    if options.wants(Part::Instructions) {
        instructions::count(&world, options, &present, &mut report);
    }
    report.finish(options, &world.folder)
}

/// All figures of one contestant in one round. Memory is read from fresh processes: after load, what the allocator
/// keeps would hide it.
fn turn(world: &World, options: &Options, name: Name, figures: &mut Figures) -> Result<()> {
    if options.wants(Part::Memory) {
        memory(world, options, name, figures)?;
    }
    if options.wants(Part::Grpc) {
        streams(world, options, name, figures)?;
    }
    if !options.wants_requests() {
        return Ok(());
    }
    let (mut running, started) = start(world, name)?;
    if !running.proxies.is_empty() {
        figures.add("start.ms", started.as_secs_f64() * 1e3);
    }
    let (entry, proxies) = (running.entry, &running.proxies);
    Load::Closed { connections: limits::COMPARED, time: options.warm_up() }.run(world, entry)?;
    if options.wants(Part::Throughput) {
        for connections in options.connections() {
            closed(world, options, entry, proxies, *connections, figures)?;
        }
    }
    if options.wants(Part::Latency) {
        latency(world, options, entry, proxies, figures)?;
    }
    if options.wants(Part::Transfer) {
        transfer(world, options, entry, proxies, figures)?;
    }
    for proxy in &mut running.proxies {
        proxy.survive(Duration::ZERO)?;
    }
    stop(running)
}

/// Starts a contestant and waits for its first answer; how long that took.
fn start(world: &World, name: Name) -> Result<(Running, Duration)> {
    let mut running = name.contestant().start(world, Traffic::Requests).context("can't start")?;
    let took = if running.proxies.is_empty() {
        Duration::ZERO
    } else {
        let side = &world.network.client;
        first_answer(side, running.entry, &mut running.proxies, limits::START)?
    };
    Ok((running, took))
}

fn stop(running: Running) -> Result<()> {
    running.proxies.into_iter().try_for_each(Process::stop)
}

fn closed(
    world: &World,
    options: &Options,
    entry: SocketAddr,
    proxies: &[Process],
    connections: u16,
    figures: &mut Figures,
) -> Result<()> {
    let group = format!("closed.{connections}");
    let load = Load::Closed { connections, time: options.duration() };
    let mut loaded = Vec::new();
    let (outcome, cpu) = measured(world, entry, proxies, load, &mut || {
        loaded = memories(proxies)?;
        Ok(())
    })?;
    figures.add(format!("{group}.requests_per_second"), outcome.per_second);
    figures.add(format!("{group}.p50_us"), outcome.p50_us);
    per_request(figures, &group, outcome.requests, cpu);
    for (place, memory) in loaded {
        add_memory(figures, &format!("{group}.memory.{place}"), memory);
    }
    Ok(())
}

fn median(values: &[f64]) -> Result<f64> {
    Summary::of(values).map(|summary| summary.median).context("there was no run")
}

/// The medians of several large answers, one after the other.
fn transfer(
    world: &World,
    options: &Options,
    entry: SocketAddr,
    proxies: &[Process],
    figures: &mut Figures,
) -> Result<()> {
    let mebibytes = options.transfer() as f64 / f64::from(1 << 20);
    let (mut speeds, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..options.runs() {
        let load = Load::Transfer { bytes: options.transfer() };
        let (outcome, cpu) = measured(world, entry, proxies, load, &mut || Ok(()))?;
        if outcome.bytes != options.transfer() {
            bail!("{} of {} bytes arrived", outcome.bytes, options.transfer());
        }
        speeds.push(mebibytes / outcome.seconds);
        costs.push(cpu.total.as_secs_f64() * 1e3 * 1024.0 / mebibytes);
    }
    figures.add("transfer.mib_per_second", median(&speeds)?);
    if !proxies.is_empty() {
        figures.add("transfer.cpu_ms_per_gib", median(&costs)?);
    }
    Ok(())
}

/// The medians of several runs, each with connections of its own.
fn latency(
    world: &World,
    options: &Options,
    entry: SocketAddr,
    proxies: &[Process],
    figures: &mut Figures,
) -> Result<()> {
    let load = Load::Open { rate: limits::RATE, time: options.duration() };
    let mut runs = Vec::new();
    let (mut requests, mut used) = (0, Cpu::default());
    for _ in 0..options.runs() {
        let (outcome, cpu) = measured(world, entry, proxies, load, &mut || Ok(()))?;
        (requests, used) = (requests + outcome.requests, used.and(cpu));
        runs.push(outcome);
    }
    let of_runs = |of: fn(&Outcome) -> f64| median(&runs.iter().map(of).collect::<Vec<_>>());
    figures.add("latency.p50_us", of_runs(|run| run.p50_us)?);
    figures.add("latency.p99_us", of_runs(|run| run.p99_us)?);
    let kept_up = runs.iter().all(|run| run.kept_up);
    figures.add("latency.schedule_kept", if kept_up { 1.0 } else { 0.0 });
    per_request(figures, "latency", requests, used);
    Ok(())
}

/// gRPC streams through fresh processes, which are set up for them: that flow, and that wait for each answer.
fn streams(world: &World, options: &Options, name: Name, figures: &mut Figures) -> Result<()> {
    let mut running = name.contestant().start(world, Traffic::Streams).context("can't start for gRPC")?;
    let entry = running.entry;
    if !running.proxies.is_empty() {
        answered(&mut running.proxies, limits::START, || Load::Greeting.run(world, entry).map(drop))?;
    }
    Load::Streams { window: limits::GRPC_WINDOW, time: options.warm_up() }.run(world, entry)?;
    for (group, window) in [("grpc", limits::GRPC_WINDOW), ("grpc.in_turn", 1)] {
        let load = Load::Streams { window, time: options.duration() };
        let (outcome, cpu) = measured(world, entry, &running.proxies, load, &mut || Ok(()))?;
        figures.add(format!("{group}.messages_per_second"), outcome.messages as f64 / outcome.seconds);
        if !cpu.total.is_zero() {
            let per_cpu_second = outcome.messages as f64 / cpu.total.as_secs_f64();
            figures.add(format!("{group}.messages_per_cpu_second"), per_cpu_second);
            user_share(figures, group, cpu);
        }
    }
    for proxy in &mut running.proxies {
        proxy.survive(Duration::ZERO)?;
    }
    stop(running)
}

/// Runs a load; what the proxies used for it.
fn measured(
    world: &World,
    entry: SocketAddr,
    proxies: &[Process],
    load: Load,
    look: &mut dyn FnMut() -> Result<()>,
) -> Result<(Outcome, Cpu)> {
    let used = || {
        proxies
            .iter()
            .try_fold(Cpu::default(), |sum, proxy| Ok::<_, anyhow::Error>(sum.and(Cpu::of(proxy.id())?)))
    };
    let before = used()?;
    let outcome = load.run_and_look(world, entry, look)?;
    Ok((outcome, used()?.since(before)))
}

/// Processor time of all proxies together per request, exact; and which share of it was in user mode.
fn per_request(figures: &mut Figures, group: &str, requests: u64, cpu: Cpu) {
    if cpu.total.is_zero() || requests == 0 {
        return;
    }
    figures.add(format!("{group}.cpu_us_per_request"), cpu.total.as_secs_f64() * 1e6 / requests as f64);
    user_share(figures, group, cpu);
}

/// The share of processor time in user mode, as far as ticks tell it.
fn user_share(figures: &mut Figures, group: &str, cpu: Cpu) {
    let ticks = (cpu.user + cpu.system).as_secs_f64();
    if ticks > 0.0 {
        figures.add(format!("{group}.cpu_user_percent"), cpu.user.as_secs_f64() / ticks * 100.0);
    }
}

/// Idle, and with idle connections.
fn memory(world: &World, options: &Options, name: Name, figures: &mut Figures) -> Result<()> {
    let (mut running, _) = start(world, name)?;
    if running.proxies.is_empty() {
        return Ok(());
    }
    settle(&mut running)?;
    let idle = memories(&running.proxies)?;
    for (place, memory) in &idle {
        add_memory(figures, &format!("idle.{place}"), *memory);
    }
    let count = options.idle_connections();
    let path = body(limits::BODY_BYTES);
    let held = world.network.client.within(|| http::idle(running.entry, &path, count))?;
    settle(&mut running)?;
    let after = memories(&running.proxies)?;
    for (((place, before), (_, after)), proxy) in idle.iter().zip(after).zip(&running.proxies) {
        // A proxy that pools its upstream connections spares the next one all but a few.
        if sockets(proxy.id())? < usize::from(count) {
            continue;
        }
        figures.add(format!("idle.{place}.bytes_per_connection"), grown(*before, after, count));
    }
    drop(held);
    if let Some(greeting) = name.contestant().greeting() {
        let bytes = per_peer_connection(world, &greeting, &mut running, count)?;
        figures.add("idle.server_proxy.bytes_per_peer_connection", bytes);
    }
    stop(running)
}

/// Bytes of the server's proxy for each idle connection of a mesh peer.
fn per_peer_connection(world: &World, greeting: &Greeting, running: &mut Running, count: u16) -> Result<f64> {
    let id = running.proxies.get(1).context("a mesh of one proxy")?.id();
    let path = body(limits::BODY_BYTES);
    let open = |connections| {
        let client = &world.network.client;
        client.within(|| peer::idle(SERVER_PROXY, &world.folder, greeting, &path, connections))
    };
    // What the first ones need once isn't what each takes.
    let _first = open(count / 10)?;
    settle(running)?;
    let before = Memory::of(id)?;
    let _held = open(count)?;
    settle(running)?;
    Ok(grown(before, Memory::of(id)?, count))
}

/// Bytes of anonymous memory for each of so many connections.
fn grown(before: Memory, after: Memory, connections: u16) -> f64 {
    after.rss_anon_kib.saturating_sub(before.rss_anon_kib) as f64 * 1024.0 / f64::from(connections)
}

/// Lets one-time work end.
fn settle(running: &mut Running) -> Result<()> {
    running.proxies.first_mut().map_or(Ok(()), |proxy| proxy.survive(limits::SETTLE))
}

/// The client's proxy, then the server's.
fn memories(proxies: &[Process]) -> Result<Vec<(&'static str, Memory)>> {
    let places = ["client_proxy", "server_proxy"];
    places.into_iter().zip(proxies).map(|(place, proxy)| Ok((place, Memory::of(proxy.id())?))).collect()
}

fn add_memory(figures: &mut Figures, group: &str, memory: Memory) {
    figures.add(format!("{group}.rss_kib"), memory.rss_kib as f64);
    figures.add(format!("{group}.rss_anon_kib"), memory.rss_anon_kib as f64);
    figures.add(format!("{group}.pss_kib"), memory.pss_kib as f64);
}

impl Report {
    /// Figures that relate contestants of the same round.
    fn compare(&mut self, round: u16) {
        let p50 = "latency.p50_us";
        let Some(direct) = self.of(Name::Direct).of_round(p50, round) else { return };
        for name in [Name::Relays, Name::Envoy, Name::Nginx, Name::Haproxy, Name::Leno] {
            if let Some(own) = self.of(name).of_round(p50, round) {
                self.of(name).add("latency.added_p50_us", own - direct);
            }
        }
    }
}
