//! The admin API of a node in this process, on SQLite and on PostgreSQL; at last the program itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bed;
mod cases;
mod damaged;
mod document;
mod guarding;
#[path = "../support/postgres.rs"]
mod postgres;
mod program;
#[path = "../support/schema.rs"]
mod schema;
#[path = "../web_bed/mod.rs"]
mod web_bed;

macro_rules! on_both {
    ($($group:ident::$case:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")] async fn $case() {
                crate::$group::$case(crate::bed::Api::sqlite().await).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")] async fn $case() {
                crate::$group::$case(crate::bed::Api::postgres().await).await;
            })*
        }
    };
}

on_both! {
    cases::streams_are_made_changed_and_deleted,
    cases::what_is_wrong_is_said,
    cases::nothing_is_lost_that_somebody_else_changed,
    cases::pages_hold_every_stream_once,
    cases::secrets_are_kept_and_not_shown,
    cases::a_stream_of_the_file_is_not_changed_here,
    cases::an_archive_that_nobody_records_is_deleted,
    cases::ranges_count_the_gaps_they_join,
    cases::locks_are_made_listed_and_released,
    cases::an_export_is_told_to_the_byte,
    cases::status_and_storage,
    cases::who_may,
    cases::changes_come_as_events,
    cases::the_document_names_every_address,
    cases::recorders_say_how_a_stream_is,
    damaged::requests_are_answered_or_refused,
}
