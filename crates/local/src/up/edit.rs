//! Later versions of the mesh file, applied to the running mesh.
//!
//! What an edit doesn't concern isn't touched. Replicas that go are drained first; where a workload has several
//! replicas, the changed ones are replaced one after the other, each ready before the next is touched, so a version
//! that doesn't become ready leaves the others as they were. A newer edit takes the place of one that is under way.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    pin::Pin,
    rc::Rc,
};

use leno_runtime::{Task, spawn_local};

use super::{
    Error, Member, Mesh, launch, member,
    plans::{Plan, Planner},
};
use crate::{
    directory,
    loopback::Places,
    mesh::{LocalMesh, Mode, Workload},
    plan::{self, Pool, Replica},
};

/// A later version of the mesh file, or the lines that say why it isn't one.
pub type Edit = Result<LocalMesh, Vec<String>>;

/// Where edits come from, and who else has to know.
pub trait Edits {
    /// Waits for the next edit; those that nobody has waited for don't count. Its mesh is checked, and has the name of
    /// the one that runs.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Edit> + '_>>;

    /// Told that the last edit is taken, before anything is changed. Answers which programs have to start anew, since
    /// what they were told can't be changed while they run.
    fn taken(&mut self) -> Vec<String>;
}

/// The mesh as it is to run.
pub(super) struct Spec {
    planner: Planner,
    sockets: PathBuf,
    pool: Pool,
    /// In loopback mode.
    places: Option<Places>,
    mesh: Option<LocalMesh>,
}

impl Spec {
    pub(super) fn new(planner: Planner, sockets: &Path, mode: Mode) -> Self {
        let places = (mode == Mode::Loopback).then(Places::default);
        Self { planner, sockets: sockets.to_owned(), pool: Pool::default(), places, mesh: None }
    }

    /// What an edit may not change while the mesh runs; why not.
    fn refuses(&self, edit: &LocalMesh) -> Option<String> {
        let before = self.mesh.as_ref()?;
        let name = &before.metadata.name;
        if before.spec.mode != edit.spec.mode {
            return Some(format!(
                "spec.mode: a running mesh keeps its mode; end it with `leno down {name}` and start it again"
            ));
        }
        (self.places.is_some() && before.spec.services != edit.spec.services).then(|| {
            format!(
                "spec.services: in loopback mode workloads know addresses from their start on, so services can't change \
                 while they run; end the mesh with `leno down {name}` and start it again"
            )
        })
    }

    /// Takes a mesh and says how each replica is run. `known` are those that there are, which keep their secrets.
    pub(super) fn take(&mut self, mesh: LocalMesh, known: &[Rc<Member>]) -> Result<Vec<Plan>, Error> {
        let mut pool = self.pool.clone();
        let replicas = plan::replicas(&mesh, &self.sockets, &mut pool);
        let mut plans = Vec::new();
        for replica in replicas {
            plans.extend(self.plan(&mesh, replica, known)?);
        }
        plans.iter_mut().enumerate().for_each(|(place, plan)| plan.place = place);
        let names = plans.iter().map(|plan| plan.document.replica.name.as_str()).collect();
        pool.keep(&names);
        if let Some(places) = &mut self.places {
            places.keep(&names);
        }
        (self.pool, self.mesh) = (pool, Some(mesh));
        Ok(plans)
    }

    fn plan(
        &mut self,
        mesh: &LocalMesh,
        replica: Replica,
        known: &[Rc<Member>],
    ) -> Result<Option<Plan>, Error> {
        let is_its = |workload: &&Workload| workload.name() == replica.workload;
        let Some(workload) = mesh.spec.workloads.iter().find(is_its) else { return Ok(None) };
        directory::check_socket_path(&replica.admin)?;
        let token = known.iter().find(|member| member.replica.name == replica.name);
        let token = token.map(|member| member.join_token.clone()).map_or_else(launch::token, Ok);
        let token = token.map_err(|error| Error::Step("make join tokens", error))?;
        let place =
            self.places.as_mut().map(|places| places.of(mesh, workload, &replica.name)).transpose()?;
        self.planner.plan(mesh, workload, replica, token, place).map(Some)
    }
}

/// Applies edits for ever.
pub(super) async fn follow(mesh: Rc<Mesh>, mut spec: Spec, mut edits: Box<dyn Edits>) {
    let mut under_way = BTreeMap::new();
    loop {
        let refused = match edits.next().await {
            Ok(edit) => apply(&mesh, &mut spec, &mut *edits, &mut under_way, edit).err(),
            Err(lines) => Some(lines),
        };
        if let Some(lines) = refused {
            lines.iter().for_each(|line| mesh.output.note(line));
            mesh.output.note("the edit is refused; the mesh runs on as it was");
        }
    }
}

/// What is being done for each workload.
type UnderWay = BTreeMap<String, Task<()>>;

fn apply(
    mesh: &Rc<Mesh>,
    spec: &mut Spec,
    edits: &mut dyn Edits,
    under_way: &mut UnderWay,
    edit: LocalMesh,
) -> Result<(), Vec<String>> {
    if let Some(why) = spec.refuses(&edit) {
        return Err(vec![why]);
    }
    let before = spec.mesh.clone();
    let plans = spec.take(edit.clone(), &mesh.context.members());
    let plans = plans.map_err(|error| vec![crate::error_chain(&error)])?;
    let renewed = edits.taken();
    // The control plane hears of services even where no workload changes.
    mesh.changed();
    let difference = before.map(|before| Difference::between(&before, &edit)).unwrap_or_default();
    if !difference.0.is_empty() {
        mesh.output.note(&format!("the mesh file has changed: {}", difference.0.join("; ")));
    }
    for program in mesh.programs.iter().filter(|program| renewed.iter().any(|name| name == program.name())) {
        mesh.output.note(&format!("the {} starts anew for it", program.name()));
        program.renew();
    }
    let wanted: BTreeSet<&str> = plans.iter().map(|plan| plan.document.replica.name.as_str()).collect();
    for member in mesh.members() {
        if !wanted.contains(member.plan().document.replica.name.as_str()) {
            member.retire();
        }
    }
    let mut workloads: BTreeMap<String, Vec<Plan>> = BTreeMap::new();
    for plan in plans {
        workloads.entry(plan.document.replica.workload.clone()).or_default().push(plan);
    }
    // What an earlier edit began ends here; it has left nothing half done.
    under_way.clear();
    under_way.extend(workloads.into_iter().map(|(name, plans)| {
        let task = spawn_local("edit", change(Rc::clone(mesh), plans));
        (name, task)
    }));
    Ok(())
}

/// Brings one workload from what it is to what it shall be.
async fn change(mesh: Rc<Mesh>, plans: Vec<Plan>) {
    let rolling = plans.len() > 1;
    let mut changed = Vec::new();
    let mut blocked = Vec::new();
    for plan in plans {
        let name = &plan.document.replica.name;
        let member = mesh.members().into_iter().find(|member| member.plan().document.replica.name == *name);
        match member {
            None => mesh.add(plan),
            Some(member) if member.is_retired() => blocked.push(plan),
            Some(member) if member.plan().is_like(&plan) => member.adopt(plan),
            Some(member) => changed.push((member, plan)),
        }
    }
    for (member, plan) in changed {
        let name = plan.document.replica.name.clone();
        member.replace(plan);
        if rolling {
            mesh.until(|_| member.is_ready()).await;
            mesh.output.note(&format!("{name} runs as the mesh file says now"));
        }
    }
    // What ends for good has the name and the sockets until it is gone.
    for plan in blocked {
        let name = plan.document.replica.name.clone();
        let is_there = |mesh: &Mesh| {
            mesh.members.borrow().iter().any(|other| other.plan().document.replica.name == name)
        };
        mesh.until(|mesh| !is_there(mesh)).await;
        mesh.add(plan);
    }
}

/// Ends and starts the workloads of these replicas, one after the other where there are several.
pub(super) async fn restart(mesh: Rc<Mesh>, members: Vec<Rc<member::Keeper>>) {
    let last = members.len().saturating_sub(1);
    for (at, member) in members.into_iter().enumerate() {
        let before = member.status().restarts;
        if member.restart(&mesh).await && at < last {
            mesh.until(|_| member.status().restarts != before && member.is_ready()).await;
        }
    }
}

/// What differs between two meshes, in words.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference(Vec<String>);

impl Difference {
    fn between(before: &LocalMesh, after: &LocalMesh) -> Self {
        let mut words = Vec::new();
        let services = |mesh: &LocalMesh| -> BTreeMap<String, serde_json::Value> {
            mesh.spec.services.iter().map(|service| (service.name.clone(), json(service))).collect()
        };
        compare(&mut words, "service", &services(before), &services(after));
        let workloads = |mesh: &LocalMesh| -> BTreeMap<String, serde_json::Value> {
            mesh.spec.workloads.iter().map(|workload| (Workload::name(workload), json(workload))).collect()
        };
        compare(&mut words, "workload", &workloads(before), &workloads(after));
        let [old, new] = [before, after].map(|mesh| json(&mesh.spec));
        let others =
            fields(&old, &new).into_iter().filter(|field| !["services", "workloads"].contains(field));
        words.extend(others.map(|field| format!("spec.{field}")));
        Self(words)
    }
}

fn json(value: &impl serde::Serialize) -> serde_json::Value {
    // What was read from a document can be written as one.
    serde_json::to_value(value).unwrap_or_default()
}

fn compare(
    words: &mut Vec<String>,
    what: &str,
    before: &BTreeMap<String, serde_json::Value>,
    after: &BTreeMap<String, serde_json::Value>,
) {
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        words.push(format!("{what} {name} is gone"));
    }
    for (name, new) in after {
        match before.get(name) {
            None => words.push(format!("{what} {name} is new")),
            Some(old) if old != new => words.push(format!("{what} {name}: {}", fields(old, new).join(", "))),
            Some(_) => {}
        }
    }
}

/// The fields in which two objects differ.
fn fields<'a>(old: &'a serde_json::Value, new: &'a serde_json::Value) -> Vec<&'a str> {
    let keys = |value: &'a serde_json::Value| value.as_object().into_iter().flat_map(serde_json::Map::keys);
    let all: BTreeSet<&str> = keys(old).chain(keys(new)).map(String::as_str).collect();
    all.into_iter().filter(|key| old.get(*key) != new.get(*key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh(spec: serde_json::Value) -> LocalMesh {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "leno.dev/v1alpha1", "kind": "LocalMesh", "metadata": {"name": "m"}, "spec": spec,
        }))
        .unwrap()
    }

    #[test]
    fn a_difference_names_what_and_in_which_fields() {
        let before = mesh(serde_json::json!({
            "services": [{"name": "web", "port": 80}, {"name": "old", "port": 80}],
            "workloads": [{"service": "web", "command": "serve"}, {"service": "old", "command": "x"}],
        }));
        let after = mesh(serde_json::json!({
            "services": [{"name": "web", "port": 81}, {"name": "cart", "port": 80}],
            "workloads": [{"service": "web", "command": "serve", "replicas": 2, "env": {"A": "1"}},
                          {"service": "cart", "command": "x"}],
            "tracing": {"endpoint": "http://127.0.0.1:4317"},
        }));
        let words = Difference::between(&before, &after).0;
        assert_eq!(
            words,
            [
                "service old is gone",
                "service cart is new",
                "service web: port",
                "workload old is gone",
                "workload cart is new",
                "workload web: env, replicas",
                "spec.tracing",
            ]
        );
        assert_eq!(Difference::between(&after, &after), Difference::default());
    }
}
