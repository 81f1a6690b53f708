//! A whole pipeline of one's own: emulator, deployed template, running event sources. Also the API of the end-to-end
//! tests, which start many of them side by side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use nix::unistd::Pid;
use onewrite_event_sources::choices::Choices;

use crate::alarms::watch::{AlarmWatch, Watched};
use crate::alarms::{Alarm, TimeScale};
use crate::clients::Clients;
use crate::deploy::{Outputs, Sam};
use crate::emulator::{self, Credentials, Emulator};
use crate::error::{LocalError, Result};
use crate::event_sources::{self, Deployed, EventSources, Invoker, Meter};
use crate::metrics::Samples;
use crate::pipeline::{Pace, Pipeline};
use crate::progress::Progress;
use crate::python::{self, Interpreter};
use crate::stores;
use crate::template::Template;
use crate::watch::Watch;
use crate::workspace::Workspace;

/// A directory that its stack left behind, killed, is kept this long for its logs.
const KEEP_LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);

/// Put around the invoker of a stack's event sources, to fail on purpose or to keep a record.
pub type Decorator = Box<dyn FnOnce(Arc<dyn Invoker>) -> Arc<dyn Invoker> + Send>;

/// How a stack is to be.
pub struct StackOptions {
    /// Where the template and the functions are.
    pub workspace: Workspace,
    /// Begins the name of its directory below `target/local/stacks`.
    pub name: String,
    /// The emulator's port; a free one where none is given.
    pub port: Option<u16>,
    /// Template parameters on top of [`LOCAL_PARAMETERS`].
    pub parameters: BTreeMap<String, String>,
    /// How AWS's open questions are decided.
    pub choices: Choices,
    /// Whether the event sources start at once.
    pub event_sources: bool,
    /// Whether the template's alarms are watched, and how much faster than on AWS.
    pub alarms: Option<TimeScale>,
    /// Whether the functions are served by `cargo lambda watch` instead of as deployed.
    pub watch: bool,
    /// Put around the invoker.
    pub decorator: Option<Decorator>,
    /// Where progress goes.
    pub progress: Progress,
}

impl StackOptions {
    /// A stack of this name, with event sources, without progress.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            workspace: Workspace::here(),
            name: name.into(),
            port: None,
            parameters: BTreeMap::new(),
            choices: Choices::default_outcomes(),
            event_sources: true,
            alarms: None,
            watch: false,
            decorator: None,
            progress: Progress::Silent,
        }
    }

    /// Sets a template parameter.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: &str) -> Self {
        self.parameters.insert(name.into(), value.to_string());
        self
    }
}

/// Template parameters for this machine: what is long on AWS is short here, so that six receives end soon.
pub const LOCAL_PARAMETERS: [(&str, &str); 9] = [
    // The emulator's own pollers do not keep AWS's rules; ours read the mappings all the same.
    ("EventSourcesEnabled", "false"),
    // The emulator speaks plain HTTP, on the loopback interface.
    ("RequireTls", "false"),
    ("TableDeletionProtection", "false"),
    // The emulator has no CodeDeploy.
    ("GradualDeployments", "false"),
    // The visibility timeout follows: 6 seconds, so six receives take some forty.
    ("IngestTimeoutSeconds", "1"),
    // Each invocation at the same time is a process of its own here.
    ("IngestMaximumConcurrency", "5"),
    ("StreamFunctionTimeoutSeconds", "5"),
    // An alarm's minute is some seconds here.
    ("OldestMessageAlarmSeconds", "45"),
    ("IteratorAgeAlarmMilliseconds", "15000"),
];

/// What a stack's template says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackOutputs {
    /// `NotificationQueueUrl`.
    pub queue_url: String,
    /// `DeadLetterQueueUrl`.
    pub dead_letter_queue_url: String,
    /// `NotificationTableName`.
    pub table: String,
    /// `NotificationStreamName`.
    pub stream: String,
    /// `FailureBucketName`.
    pub failure_bucket: String,
    /// `IngestFunctionName`.
    pub ingest: String,
    /// `ForwardFunctionName`.
    pub forward: String,
    /// `CompleteFunctionName`.
    pub complete: String,
    /// All of them, by name.
    pub all: Outputs,
}

impl StackOutputs {
    /// Reads the outputs of a stack.
    ///
    /// # Errors
    /// [`LocalError::Deployed`] where one is missing.
    pub fn new(all: Outputs) -> Result<Self> {
        let missing =
            |name: &str| LocalError::Deployed(format!("the template has no output {name}"));
        let output = |name: &str| all.get(name).cloned().ok_or_else(|| missing(name));
        Ok(Self {
            queue_url: output("NotificationQueueUrl")?,
            dead_letter_queue_url: output("DeadLetterQueueUrl")?,
            table: output("NotificationTableName")?,
            stream: output("NotificationStreamName")?,
            failure_bucket: output("FailureBucketName")?,
            ingest: output("IngestFunctionName")?,
            forward: output("ForwardFunctionName")?,
            complete: output("CompleteFunctionName")?,
            all,
        })
    }

    /// The binary of each function, by its deployed name.
    #[must_use]
    pub fn binaries(&self) -> BTreeMap<String, String> {
        let functions = [
            (&self.ingest, "ingest"),
            (&self.forward, "forward"),
            (&self.complete, "complete"),
        ];
        functions
            .into_iter()
            .map(|(name, binary)| (name.clone(), binary.to_owned()))
            .collect()
    }
}

/// A running pipeline. Dropped, it ends a moment later and leaves its logs; [`Stack::stop`] waits and tidies up.
#[derive(Debug)]
pub struct Stack {
    emulator: Emulator,
    watch: Option<Watch>,
    event_sources: Option<EventSources>,
    alarms: Option<AlarmWatch>,
    samples: Samples,
    clients: Clients,
    outputs: StackOutputs,
    directory: PathBuf,
}

impl Stack {
    /// Starts everything; returns once the pipeline takes messages.
    ///
    /// # Errors
    /// Whatever keeps it from starting, in one line with what to do.
    pub async fn start(options: StackOptions) -> Result<Self> {
        let StackOptions {
            workspace,
            name,
            port,
            progress,
            ..
        } = &options;
        let interpreter = Interpreter::find().await?;
        let emulator_packages =
            python::environment(workspace, &interpreter, python::EMULATOR, *progress).await?;
        let sam_packages =
            python::environment(workspace, &interpreter, python::SAM, *progress).await?;
        let sam = Sam::new(workspace.clone(), sam_packages, interpreter.clone());
        let build = sam.build(*progress).await?;

        let directory = new_directory(workspace, name)?;
        let step = progress.step("Starting the emulator and deploying template.yaml");
        let emulator = Emulator::start(&emulator_packages, &interpreter, &directory, *port).await?;
        let clients = Clients::new(&emulator.endpoint(), emulator.credentials());
        let parameters = parameters(&options.parameters);
        let outputs = sam
            .deploy(&build, &emulator, &clients, &parameters, &directory)
            .await?;
        let outputs = StackOutputs::new(outputs)?;
        event_sources::correct_emulator(&clients).await?;
        let is_protected = parameters.get("TableDeletionProtection");
        let is_protected = is_protected.is_some_and(|protection| protection == "true");
        stores::correct(&clients, &outputs, is_protected).await?;
        step.done();

        let mut stack = Self {
            emulator,
            watch: None,
            event_sources: None,
            alarms: None,
            samples: Samples::default(),
            clients,
            outputs,
            directory,
        };
        if let Some(scale) = options.alarms {
            let template = Template::of_workspace(&options.workspace)?;
            let given = |name: &str| parameters.get(name).cloned();
            let value = |name: &str| given(name).or_else(|| template.default(name));
            let alarms = Alarm::all(&template, &value)?;
            stack.alarms = Some(AlarmWatch::start(stack.watched(), alarms, scale));
        }
        if options.watch {
            stack.watch = Some(Watch::start(&sam, &stack, *progress).await?);
        }
        if options.event_sources {
            stack
                .start_event_sources(options.decorator, options.choices)
                .await?;
        }
        Ok(stack)
    }

    /// Starts the event sources, where [`StackOptions::event_sources`] did not: a poller for each mapping there is now.
    ///
    /// # Errors
    /// [`LocalError::Deployed`] for a mapping that AWS would refuse, or a failed call.
    pub async fn start_event_sources(
        &mut self,
        decorator: Option<Decorator>,
        choices: Choices,
    ) -> Result<()> {
        let mut invoker: Arc<dyn Invoker> = match &self.watch {
            Some(watch) => Arc::new(watch.invoker(self)),
            None => Arc::new(Deployed::new(self.clients.lambda.clone())),
        };
        if let Some(decorate) = decorator {
            invoker = decorate(invoker);
        }
        let meter = Meter::new(&self.outputs, self.samples.clone());
        let sources = EventSources::start(&self.clients, invoker, choices, &meter).await?;
        self.event_sources = Some(sources);
        Ok(())
    }

    fn watched(&self) -> Watched {
        Watched {
            clients: self.clients.clone(),
            outputs: self.outputs.clone(),
            log: emulator::log(&self.directory),
            samples: self.samples.clone(),
        }
    }

    /// Clients of the account's own credentials.
    #[must_use]
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// What the template says of the stack.
    #[must_use]
    pub fn outputs(&self) -> &StackOutputs {
        &self.outputs
    }

    /// Where the emulator answers.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.emulator.endpoint()
    }

    /// The account's own credentials.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        self.emulator.credentials()
    }

    /// The running event sources; none where they were not asked for.
    #[must_use]
    pub fn event_sources(&self) -> Option<&EventSources> {
        self.event_sources.as_ref()
    }

    /// The directory of its logs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Why the stack no longer works, if one of its processes has ended by itself.
    #[must_use]
    pub fn failure(&mut self) -> Option<LocalError> {
        self.emulator
            .failure()
            .or_else(|| self.watch.as_mut()?.failure())
    }

    /// Ends everything and removes the stack's directory; returns once no process is left.
    pub async fn stop(self) {
        let directory = self.directory.clone();
        self.end().await;
        let _ = std::fs::remove_dir_all(directory);
    }

    /// Ends everything and keeps the logs; returns once no process is left.
    pub async fn end(mut self) {
        drop(self.event_sources.take());
        drop(self.alarms.take());
        if let Some(watch) = self.watch.take() {
            watch.end().await;
        }
        self.emulator.end().await;
        let _ = std::fs::remove_dir_all(self.directory.join("tmp"));
    }
}

impl Pipeline for Stack {
    fn clients(&self) -> &Clients {
        &self.clients
    }

    fn outputs(&self) -> &StackOutputs {
        &self.outputs
    }

    fn failure(&mut self) -> Option<LocalError> {
        Stack::failure(self)
    }

    fn is_idle(&self) -> bool {
        self.event_sources
            .as_ref()
            .is_none_or(EventSources::is_idle)
    }

    /// All of it is the run's.
    fn is_of_others(&self, _id: &str) -> bool {
        false
    }

    fn pace(&self) -> Pace {
        Pace {
            poll: Duration::from_millis(500),
            rest: Duration::from_millis(500),
            stall: Duration::from_secs(90),
        }
    }
}

fn parameters(given: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let local = LOCAL_PARAMETERS
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    local
        .chain(
            given
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        )
        .collect()
}

/// A new directory of this process; also removes what killed stacks have left.
fn new_directory(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    static STACKS: AtomicU32 = AtomicU32::new(0);
    let home = workspace.stacks();
    for entry in std::fs::read_dir(&home).into_iter().flatten().flatten() {
        if is_left_behind(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let number = STACKS.fetch_add(1, Ordering::Relaxed);
    let directory = home.join(format!("{name}-{number}-{}", std::process::id()));
    // A process of the same id may have left one before.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).map_err(|source| LocalError::file(&directory, source))?;
    Ok(directory)
}

/// Whether the process in the directory's name is no more, and has not been for long.
fn is_left_behind(directory: &Path) -> bool {
    let old = directory
        .metadata()
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|written| {
            SystemTime::now()
                .duration_since(written)
                .is_ok_and(|age| age > KEEP_LEFT_BEHIND)
        });
    let process = directory
        .file_name()
        .and_then(|name| name.to_str()?.rsplit('-').next()?.parse().ok());
    let runs = |process| nix::sys::signal::kill(Pid::from_raw(process), None).is_ok();
    old && process.is_some_and(|process| !runs(process))
}
