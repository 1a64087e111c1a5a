//! The tests. Each runs a mesh of its own.

mod endings;
mod isolation;
mod lives;

use serde_json::json;

use crate::world::{Mesh, Test};

pub(crate) const ALL: &[(&str, Test)] = &[
    ("tcp_and_dns_are_captured", isolation::tcp_and_dns_are_captured),
    ("the_world_is_the_workloads_own", isolation::the_world_is_the_workloads_own),
    ("nothing_gives_privileges", isolation::nothing_gives_privileges),
    ("other_addresses_and_sockets_are_out_of_reach", isolation::other_addresses_and_sockets_are_out_of_reach),
    ("state_and_keys_are_out_of_reach", isolation::state_and_keys_are_out_of_reach),
    ("other_processes_are_out_of_reach", isolation::other_processes_are_out_of_reach),
    ("rules_are_out_of_reach", isolation::rules_are_out_of_reach),
    ("mesh_files_stay_as_they_are", isolation::mesh_files_stay_as_they_are),
    ("shared_paths_come_in", isolation::shared_paths_come_in),
    ("a_mesh_below_tmp_finds_what_it_is_made_of", isolation::a_mesh_below_tmp_finds_what_it_is_made_of),
    ("exec_passes_streams_codes_and_signals", lives::exec_passes_streams_codes_and_signals),
    ("exec_gives_a_terminal_of_its_own", lives::exec_gives_a_terminal_of_its_own),
    ("a_failing_start_says_why", lives::a_failing_start_says_why),
    ("crashed_workloads_start_again", lives::crashed_workloads_start_again),
    ("a_killed_sidecar_finds_its_vault_and_sockets", lives::a_killed_sidecar_finds_its_vault_and_sockets),
    (
        "a_killed_supervisor_comes_back_with_its_workload",
        lives::a_killed_supervisor_comes_back_with_its_workload,
    ),
    ("a_killed_program_starts_again", lives::a_killed_program_starts_again),
    ("workloads_wait_for_what_they_depend_on", lives::workloads_wait_for_what_they_depend_on),
    ("health_is_noticed", lives::health_is_noticed),
    ("output_is_prefixed_and_kept", lives::output_is_prefixed_and_kept),
    ("a_wrong_mesh_says_what_to_do", lives::a_wrong_mesh_says_what_to_do),
    ("ctrl_c_ends_everything", endings::ctrl_c_ends_everything),
    ("down_ends_everything", endings::down_ends_everything),
    ("killing_leno_up_ends_everything", endings::killing_leno_up_ends_everything),
    (
        "killing_leno_up_and_janitor_leaves_a_directory_that_is_reused",
        endings::killing_both_leaves_a_reusable_directory,
    ),
    ("a_second_mesh_of_that_name_is_refused", endings::a_second_mesh_of_that_name_is_refused),
];

/// One service `web` with one server in directory `project`.
fn one_server(mesh: &mut Mesh) {
    let command = mesh.app(&["serve", "8080"]);
    mesh.start(
        json!([{"name": "web", "port": 80, "targetPort": 8080}]),
        json!([{"service": "web", "version": "v1", "command": command}]),
    );
}
