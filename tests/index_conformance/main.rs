//! One suite for every index: each case on SQLite and PostgreSQL, plain and behind a fault injector.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bed;
mod control;
mod deletion;
mod keeping;
mod leases;
mod model;
mod only;
#[path = "../support/postgres.rs"]
mod postgres;
mod publishing;
mod reading;
mod sharing;

macro_rules! conformance {
    ($($group:ident::$case:ident,)*) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $case() { crate::$group::$case(crate::bed::Bed::sqlite(false).await).await })*
        }
        mod on_faulty_sqlite {
            $(#[tokio::test] async fn $case() { crate::$group::$case(crate::bed::Bed::sqlite(true).await).await })*
        }
        mod on_postgres {
            $(#[tokio::test] async fn $case() { crate::$group::$case(crate::bed::Bed::postgres(false).await).await })*
        }
        mod on_faulty_postgres {
            $(#[tokio::test] async fn $case() { crate::$group::$case(crate::bed::Bed::postgres(true).await).await })*
        }
    };
}

conformance! {
    leases::one_holder_at_a_time,
    leases::a_lapsed_lease_is_taken_over_and_the_old_holder_fenced,
    leases::a_released_lease_is_free_at_once,
    leases::streams_are_named_from_their_first_lease,
    publishing::nothing_is_published_without_a_lease,
    publishing::a_segment_reads_back_whole,
    publishing::a_replay_changes_nothing,
    publishing::a_higher_epoch_replaces_and_a_lower_one_does_not,
    publishing::two_segments_of_one_epoch_and_number_are_an_error,
    publishing::racing_publishers_leave_the_highest_epoch,
    publishing::the_tail_follows_the_highest_number,
    publishing::nonsense_is_refused,
    reading::an_empty_stream_has_empty_answers,
    reading::a_window_is_half_open,
    reading::windows_are_paged_by_number,
    reading::the_newest_before_a_moment,
    reading::ranges_are_joined_and_not_cut,
    reading::init_segments_and_what_is_not_recorded,
    reading::streams_do_not_mix,
    reading::wall_time_may_run_backwards,
    deletion::marked_segments_are_not_listed_but_known,
    deletion::marking_goes_oldest_first,
    deletion::only_marked_segments_are_deleted_and_after_their_grace,
    deletion::a_replacement_is_not_deleted_in_the_place_of_the_old,
    keeping::adopted_segments_are_as_published_ones,
    keeping::adoption_goes_on_beside_a_recorder,
    keeping::of_two_adopted_with_one_number_the_higher_epoch_holds,
    keeping::rows_are_paged_with_their_marks,
    keeping::a_mark_by_name_meets_only_that_segment,
    keeping::nothing_that_overlaps_a_lock_is_marked,
    keeping::a_number_that_the_holder_may_give_out_is_not_adopted,
    keeping::void_numbers_are_taken_back,
    keeping::a_lock_that_has_expired_keeps_nothing,
    keeping::locks_are_listed_by_time,
    keeping::bytes_are_counted,
    keeping::the_newest_bytes_begin_at_a_moment,
    keeping::the_retention_applied_last_is_remembered,
    sharing::free_numbers_are_filled_by_anybody,
    sharing::a_fill_changes_nothing_that_is_there,
    sharing::two_that_fill_one_number_leave_one,
    sharing::signs_of_life_are_seen_by_all,
    control::settings_are_changed_by_version,
    control::a_deleted_stream_is_remembered_and_its_versions_are_not_given_again,
    control::an_archive_without_a_setting_is_deleted,
    control::of_racing_changes_one_wins,
    control::reports_replace_what_the_recorder_said_before,
    model::random_operations_agree_with_a_naive_model,
}
