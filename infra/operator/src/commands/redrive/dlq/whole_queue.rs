//! `onewrite redrive dlq --all` and `--cancel`: SQS moves the whole queue.

use std::process::ExitCode;

use onewrite_stack::{
    move_task::{
        self, MAX_DURATION, MAX_RATE, MoveTask, MoveTaskStatus, MoveTasks as _, StackMoveTasks,
    },
    queue,
};

use crate::{
    confirmation::Confirmation,
    context::Context,
    error::{FAILED, OperatorError},
    format::duration,
    interrupt, progress,
    terminal::{Output, json, print},
};

/// Moves all dead letters with a message move task, if confirmed, and follows the task to its end.
///
/// # Errors
/// [`OperatorError`]: a call failed, or the task.
pub(super) async fn run(
    rate: Option<u32>,
    confirmation: Confirmation,
    context: &Context,
) -> Result<ExitCode, OperatorError> {
    let is_applied = confirmation.is_apply()?;
    let stack = &context.stack;
    let tasks = StackMoveTasks::new(stack).await?;
    let previous = tasks.newest().await?;
    let active = previous.as_ref().filter(|task| task.status.is_active());
    let depth = queue::read_depth(stack, &stack.outputs.dead_letter_queue_url).await?;
    let letters = depth.waiting + depth.hidden;
    let used_rate = rate.unwrap_or(MAX_RATE);
    if let Some(task) = active {
        eprintln!("a move task is running: {}", progress_text(task));
    }
    if !is_applied {
        print(&match context.output {
            Output::Table => preview(letters, rate, &context.command),
            Output::Json => json(&previous),
        });
        return Ok(ExitCode::SUCCESS);
    }
    let previous = if active.is_some() {
        None
    } else {
        let question = format!("Move about {letters} letters, whatever the reason for each?");
        confirmation.ask(&question)?;
        tasks.start(used_rate).await?;
        previous
    };
    let task = follow(&tasks, previous.as_ref(), context).await?;
    Ok(match report(task, context)? {
        MoveTaskStatus::Completed => ExitCode::SUCCESS,
        // As for letters that are moved one by one: after Ctrl-C, some were not moved.
        _ => ExitCode::from(FAILED),
    })
}

/// Cancels the task that runs, and waits for its end.
///
/// # Errors
/// [`OperatorError`]: a call failed.
pub(super) async fn cancel(context: &Context) -> Result<ExitCode, OperatorError> {
    let tasks = StackMoveTasks::new(&context.stack).await?;
    let newest = tasks.newest().await?;
    let Some(task) = newest.filter(|task| task.status.is_active()) else {
        eprintln!("no move task is running");
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(handle) = &task.handle {
        tasks.cancel(handle).await?;
    }
    let task = follow(&tasks, None, context).await?;
    report(task, context)?;
    Ok(ExitCode::SUCCESS)
}

async fn follow(
    tasks: &StackMoveTasks<'_>,
    previous: Option<&MoveTask>,
    context: &Context,
) -> Result<Option<MoveTask>, OperatorError> {
    let is_interrupted = interrupt::on_ctrl_c();
    let bar = progress::bar("letters moved", Some(0));
    let on_progress = |task: &MoveTask| {
        bar.set_length(task.to_move.unwrap_or(0).max(task.moved));
        bar.set_position(task.moved);
    };
    let task = move_task::follow(tasks, previous, &is_interrupted, on_progress).await;
    bar.finish_and_clear();
    task.map_err(|error| {
        let command = &context.command;
        eprintln!("the task goes on in SQS; `{command} redrive dlq --cancel` ends it");
        error.into()
    })
}

/// Prints how the task ended.
fn report(task: Option<MoveTask>, context: &Context) -> Result<MoveTaskStatus, OperatorError> {
    let lost = || OperatorError::MoveTask {
        reason: "SQS does not list it".to_owned(),
    };
    let task = task.ok_or_else(lost)?;
    print(&match context.output {
        Output::Table => end_text(&task, &context.command),
        Output::Json => json(&task),
    });
    match task.status {
        MoveTaskStatus::Failed => Err(OperatorError::MoveTask {
            reason: task.failure.unwrap_or_else(|| "no reason".to_owned()),
        }),
        status => Ok(status),
    }
}

fn progress_text(task: &MoveTask) -> String {
    let of = task
        .to_move
        .map_or_else(String::new, |count| format!(" of {count}"));
    format!("about {}{of} letters moved", task.moved)
}

fn preview(letters: usize, rate: Option<u32>, command: &str) -> String {
    if letters == 0 {
        return "Nothing to move.\n".to_owned();
    }
    let used_rate = rate.unwrap_or(MAX_RATE).min(MAX_RATE);
    let time = move_task::duration(letters, used_rate);
    let mut text = format!(
        "About {letters} letters would be moved, whatever the reason for each; nothing was changed.\nIt takes about {} at {used_rate} a second. Letters that are invalid or conflict become dead letters again after six receives.\n",
        duration(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)),
    );
    if time > MAX_DURATION {
        text += "SQS ends a task after 36 hours. Repeat the command then.\n";
    }
    let rate = rate.map_or_else(String::new, |rate| format!(" --rate {rate}"));
    text + &format!("Next: {command} redrive dlq --all{rate} --apply\n")
}

fn end_text(task: &MoveTask, command: &str) -> String {
    let progress = progress_text(task);
    match task.status {
        MoveTaskStatus::Completed => format!("Completed: {progress}.\n"),
        MoveTaskStatus::Cancelled => format!(
            "Cancelled: {progress}. They stay in the queue.\nNext: {command} redrive dlq --all --apply\n"
        ),
        MoveTaskStatus::Failed => format!("Failed: {progress}.\n"),
        MoveTaskStatus::Running | MoveTaskStatus::Cancelling => format!("Running: {progress}.\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preview_states_the_time_and_the_limit_of_a_task() {
        let text = preview(1_000_000, None, "onewrite");
        assert!(
            text.starts_with("About 1000000 letters would be moved"),
            "{text}"
        );
        assert!(text.contains("33m20s at 500 a second"), "{text}");
        assert!(!text.contains("36 hours"), "{text}");
        assert!(
            text.ends_with("Next: onewrite redrive dlq --all --apply\n"),
            "{text}"
        );
        let slow = preview(1_000_000, Some(5), "onewrite");
        assert!(
            slow.contains("2d07h at 5 a second") && slow.contains("36 hours"),
            "{slow}"
        );
        assert!(slow.ends_with(" --all --rate 5 --apply\n"), "{slow}");
        assert_eq!(preview(0, None, "onewrite"), "Nothing to move.\n");
    }

    #[test]
    fn states_how_a_task_ended() {
        let text = |status| {
            let task = MoveTask {
                status,
                moved: 7,
                to_move: Some(10),
                rate: None,
                failure: None,
                started_at: 0,
                handle: None,
            };
            end_text(&task, "onewrite")
        };
        let completed = "Completed: about 7 of 10 letters moved.\n";
        assert_eq!(text(MoveTaskStatus::Completed), completed);
        let cancelled = text(MoveTaskStatus::Cancelled);
        assert!(
            cancelled.contains("They stay in the queue.\nNext: "),
            "{cancelled}"
        );
    }
}
