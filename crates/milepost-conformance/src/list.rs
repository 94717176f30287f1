//! Every law by its name, once: what [`laws`](crate::laws()) lists and [`laws!`](crate::laws!) tests.

use crate::law::Law;

/// Names one `#[test]` for each law, on the [`Subject`](crate::Subject) that the expression makes.
///
/// The expression is evaluated once for each test. Two stores in one file are proved in two modules.
///
/// ```no_run
/// # use milepost_core::StatusStore;
/// # fn new_store() -> Box<dyn StatusStore> {
/// #     unreachable!("nothing runs here")
/// # }
/// use milepost_conformance::Subject;
///
/// milepost_conformance::laws!(Subject::new(new_store));
/// ```
#[macro_export]
macro_rules! laws {
    ($subject:expr) => {
        $crate::with_every_law! { name_a_test_for_each_law ($subject) }
    };
}

/// Hands the names of all laws, by sentence of the contract, to another macro of this crate.
#[doc(hidden)]
#[macro_export]
macro_rules! with_every_law {
    ($do:ident $given:tt) => {
        $crate::$do! { $given
            InOrder batches::a_batch_is_its_ops_one_by_one
            InOrder batches::there_is_one_verdict_for_each_op_in_order
            InOrder batches::a_process_may_live_and_die_in_one_batch
            InOrder batches::a_later_op_sees_what_an_earlier_one_of_its_batch_did
            InOrder batches::an_empty_batch_is_answered_by_no_verdicts
            InOrder durable::half_an_op_is_never_seen
            Apart batches::a_rejected_op_spoils_nothing_else_in_its_batch
            Apart batches::a_rejected_op_leaves_the_record_untouched
            Durable durable::what_is_acknowledged_is_seen_by_everybody
            Durable durable::what_is_acknowledged_is_there_after_reopening
            Durable crowds::what_begins_after_anothers_ok_follows_it
            Durable durable::every_part_of_a_record_is_kept
            Durable durable::texts_of_any_content_are_kept_byte_for_byte
            Durable durable::texts_as_long_as_their_limits_are_kept
            Durable durable::the_longest_chain_is_kept
            Durable holders::claims_and_wishes_are_kept_whole
            Durable imports::what_is_imported_is_kept_whole
            Durable holders::a_lease_goes_on_after_reopening
            AllOrNone batches::a_refused_batch_is_kept_in_no_part
            AllOrNone crowds::a_refused_batch_in_a_crowd_spoils_no_other
            SentAgain replays::every_op_sent_twice_counts_once
            SentAgain replays::a_batch_sent_twice_leaves_what_sending_it_once_does
            SentAgain replays::late_repeats_between_retries_and_reruns_change_nothing
            SentAgain replays::beginning_twice_is_beginning_once
            SentAgain replays::an_erasure_sent_again_is_not_found
            SentAgain replays::no_change_reports_the_state_that_is_stored
            SentAgain claims::a_claim_sent_again_is_made_once
            SentAgain imports::an_import_sent_again_is_made_once
            SentAgain holders::a_batch_under_leases_sent_twice_leaves_what_sending_it_once_does
            SentAgain holders::late_repeats_between_leases_change_nothing
            NoGhosts ghosts::create_never_overwrites
            NoGhosts imports::an_import_never_overwrites
            NoGhosts imports::an_erased_process_comes_back_as_it_was_when_it_is_imported
            NoGhosts imports::what_has_expired_gives_way_to_an_import_and_is_not_imported
            NoGhosts ghosts::nothing_but_a_creation_or_an_import_makes_a_process_exist
            NoGhosts ghosts::a_late_op_for_an_erased_process_is_not_found
            NoGhosts ghosts::late_ops_are_not_found_even_after_the_id_was_begun_anew
            NoGhosts ghosts::an_id_begun_anew_has_nothing_of_the_one_before
            NoGhosts holders::erased_while_leased_nothing_is_left
            OneByOne threads::of_many_creations_of_one_id_one_wins
            OneByOne threads::each_transition_is_won_by_one
            OneByOne threads::concurrent_changes_to_one_process_are_none_lost
            OneByOne threads::concurrent_changes_to_many_processes_are_none_lost
            OneByOne threads::verdicts_are_decided_on_the_state_that_is_stored_now
            OneByOne threads::a_process_that_many_begin_and_erase_is_never_half_there
            OneByOne races::of_many_claims_at_once_one_wins
            OneByOne races::of_many_that_claim_what_stalls_one_wins
            OneByOne races::a_claim_and_a_cancel_at_once_come_one_after_the_other
            OneByOne races::a_reap_and_a_renewal_at_once_do_not_both_hold
            OneByOne races::what_stalls_is_reaped_once_by_many
            OneByOne races::no_wish_is_lost_to_a_release
            OneByOne crowds::of_a_thousand_writers_none_is_lost
            OneByOne crowds::each_of_a_crowd_is_told_of_its_own_ops
            NoClock clock::times_decades_off_are_kept_as_given
            NoClock clock::times_finer_than_a_microsecond_are_cut
            NoClock clock::a_clock_that_runs_backwards_disturbs_nothing
            NoClock clock::expiry_at_the_ends_of_the_range_is_neither_early_nor_late
            NoClock fencing::of_two_holders_whose_clocks_differ_the_later_claim_counts
            Bounded bounds::a_batch_of_too_many_ops_is_over_the_limit
            Bounded bounds::a_batch_of_too_many_bytes_is_over_the_limit
            Bounded bounds::reading_too_many_ids_is_over_the_limit
            Bounded bounds::a_page_of_none_or_too_many_is_over_the_limit
            Bounded bounds::purging_too_many_at_once_is_over_the_limit
            Bounded bounds::a_filter_of_as_many_terms_as_there_may_be_is_served
            Bounded bounds::a_record_that_would_be_too_large_is_refused
            Bounded bounds::the_oldest_attempts_make_room
            Bounded reaping::a_full_record_has_room_for_a_reap
            Gone expiry::what_is_erased_is_nowhere
            Gone expiry::what_is_erased_is_on_no_later_page
            ExpiredOnly expiry::purge_takes_what_has_expired_and_nothing_else
            ExpiredOnly expiry::purge_takes_at_most_its_limit
            ExpiredOnly expiry::purge_leaves_what_was_extended_or_begun_anew
            ExpiredOnly expiry::what_is_purged_is_nowhere
            Wiped wipes::a_wipe_comes_to_its_end
            Wiped wipes::a_wipe_takes_nothing_that_was_not_erased
            Wiped wipes::after_a_wipe_no_byte_of_the_erased_is_in_the_files
            Machine table::start_follows_the_table
            Machine table::progress_follows_the_table
            Machine table::complete_follows_the_table
            Machine table::fail_follows_the_table
            Machine table::skip_follows_the_table
            Machine table::retry_follows_the_table
            Machine machine::a_module_waits_for_those_before_it
            Machine machine::a_parallel_module_waits_for_none
            Machine machine::the_overall_status_folds_the_modules
            Machine machine::in_a_settled_process_nothing_starts_skips_or_retries
            Machine machine::the_first_failure_is_the_one_that_is_blamed
            Machine machine::cancel_calls_off_what_is_unfinished
            Machine machine::what_is_complete_or_failed_cannot_be_cancelled
            Machine machine::rerun_takes_up_what_did_not_get_done
            Machine machine::nothing_but_a_failed_or_cancelled_process_is_rerun
            Machine imports::work_goes_on_after_an_import
            Machine imports::an_import_at_a_time_that_cannot_be_kept_is_illegal
            Machine work::progress_is_replaced_whole_and_never_goes_back
            Machine work::an_update_replaces_what_it_names_and_nothing_else
            Machine work::what_is_wrong_in_itself_is_illegal
            Machine work::the_newest_attempts_are_kept
            Machine guards::a_guard_that_holds_lets_the_op_pass
            Machine guards::another_born_is_not_found
            Machine guards::a_passed_attempt_changes_nothing
            Machine guards::a_passed_run_changes_nothing
            Machine guards::a_passed_revision_changes_nothing
            Machine guards::a_guard_on_what_has_not_come_is_illegal
            Machine guards::an_attempt_guard_on_a_change_of_the_whole_process_is_illegal
            Machine guards::guards_on_a_creation_are_ignored
            Machine claims::what_is_claimed_is_held_for_as_long_as_was_asked
            Machine claims::a_token_is_the_revision_of_its_claim_and_later_ones_are_larger
            Machine claims::what_has_settled_is_not_claimed
            Machine claims::what_is_wrong_in_a_claim_is_illegal
            Machine claims::a_renewal_keeps_the_token_and_never_shortens
            Machine claims::only_under_a_lease_is_one_renewed_or_given_back
            Machine claims::a_lease_that_has_not_come_is_illegal
            Machine claims::ops_that_ask_for_no_lease_pass_under_anybody_s
            Machine fencing::what_comes_after_a_lease_ran_out_is_fenced
            Machine fencing::what_comes_after_another_claimed_is_fenced
            Machine fencing::what_comes_after_a_release_is_fenced
            Machine fencing::what_comes_after_a_reap_is_fenced
            Machine fencing::a_late_renewal_revives_nothing
            Machine fencing::the_lease_is_judged_before_the_rest_of_the_guard
            Machine fencing::in_a_settled_process_no_lease_runs_out
            Machine fencing::what_ran_out_before_it_settled_stays_fenced
            Machine fencing::whoever_works_under_a_lease_is_heard
            Machine fencing::a_rerun_clears_the_lease
            Machine reaping::what_stalls_is_reaped_from_the_end_of_its_lease_on
            Machine reaping::a_reap_fails_what_runs_or_else_what_is_next
            Machine reaping::a_reap_frees_what_runs_until_its_attempts_are_used_up
            Machine reaping::what_runs_side_by_side_is_freed_or_fails_together
            Machine reaping::a_reap_is_meant_for_one_claim
            Machine reaping::a_reap_and_a_renewal_exclude_each_other
            Machine reaping::a_reap_of_a_passed_run_or_revision_is_stale
            Machine wishes::where_no_lease_lasts_a_wish_is_granted_at_once
            Machine wishes::under_a_lease_a_wish_stands_until_it_is_granted
            Machine wishes::a_wish_outlives_the_lease_that_it_met
            Machine wishes::what_is_completed_despite_a_wish_stays_complete
            Machine wishes::a_release_grants_the_wish
            Machine wishes::a_reap_grants_the_wish_whatever_its_policy
            Machine wishes::a_wish_for_what_has_settled_changes_nothing
            Machine wishes::a_cancel_needs_no_wish_and_no_lease
            Machine generated::any_sequence_of_ops_does_what_the_documents_say
            Reads reads::read_many_answers_each_id_in_order
            Reads reads::versions_answers_each_id_in_order
            Reads reads::a_version_changes_with_every_change
            Lists bounds::a_thousand_fit_on_one_page
            Lists lists::lists_go_by_the_time_of_creation
            Lists lists::what_began_at_once_is_listed_by_the_bytes_of_its_id
            Lists lists::a_walk_in_pages_of_any_size_shows_everything_once
            Lists lists::a_list_goes_on_behind_any_place
            Lists lists::others_do_not_disturb_a_walk
            Lists lists::what_is_listed_is_what_is_read
            Lists lists::nothing_is_listed_of_an_empty_store
            Lists filters::the_pipeline_is_taken_exactly
            Lists filters::any_of_the_given_statuses_is_taken
            Lists filters::the_file_is_taken_by_its_id
            Lists filters::the_file_name_is_taken_exactly
            Lists filters::a_prefix_of_the_file_name_is_taken_byte_by_byte
            Lists filters::the_highest_prefixes_end_nowhere_too_early
            Lists filters::the_directory_is_taken_exactly
            Lists filters::under_a_directory_is_all_below_it_and_nothing_beside
            Lists filters::a_tag_is_taken_by_name_and_value_together
            Lists ranges::created_takes_a_range_of_times
            Lists ranges::updated_takes_a_range_of_times
            Lists ranges::settled_takes_a_range_of_times_and_nothing_ongoing
            Lists ranges::visible_at_hides_what_has_expired_by_then
            Lists filters::every_term_of_a_filter_must_hold
            Lists filters::a_changed_process_is_found_by_what_it_is_now
            Lists stalled::what_has_stalled_is_listed_and_counted
            Lists stalled::without_a_time_nothing_is_counted_as_stalled
            Lists stalled::what_goes_on_is_stalled_no_more
            Lists stalled::stalled_goes_with_every_other_term
            Lists stalled::what_has_expired_is_not_stalled
            Lists stalled::a_walk_over_the_stalled_shows_each_once
            Expiry expiry::reads_answer_what_is_stored_expired_or_not
            Expiry expiry::a_process_is_absent_from_the_moment_it_expires
            Expiry expiry::an_expired_process_is_begun_anew
            Expiry expiry::an_expired_process_is_erased_by_an_erasure
            Expiry expiry::an_extension_before_the_expiry_wins
            Expiry holders::what_expires_while_leased_is_nobody_s
        }
    };
}

/// Names one test for each law: the second half of [`laws!`](crate::laws!).
#[doc(hidden)]
#[macro_export]
macro_rules! name_a_test_for_each_law {
    (($subject:expr) $($sentence:ident $file:ident::$law:ident)*) => {$(
        #[test]
        fn $law() {
            $crate::check_law(stringify!($law), &$subject);
        }
    )*};
}

/// Makes the list of all laws.
#[doc(hidden)]
#[macro_export]
macro_rules! list_each_law {
    (() $($sentence:ident $file:ident::$law:ident)*) => {
        &[$(Law::new(
            stringify!($law),
            $crate::Sentence::$sentence,
            $crate::laws::$file::$law,
        )),*]
    };
}

pub(crate) const LAWS: &[Law] = with_every_law! { list_each_law () };
