//! The ways to build and deploy the functions.

use std::collections::BTreeMap;
use std::path::Path;

use crate::clients::Clients;
use crate::deploy::{ARCHITECTURE, ARTIFACT_BUCKET, Build, Sam};
use crate::emulator::Emulator;
use crate::emulator_template;
use crate::error::Result;
use crate::functions::{self, Deployer, Deployment, Programs};
use crate::package::Package;
use crate::parameters::STACK_NAME;
use crate::progress::Progress;
use crate::python::{self, Environment, Interpreter};
use crate::workspace::Workspace;
use onewrite_stack::outputs::Outputs;

/// How the functions are built and deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// `sam build` and `sam deploy`, as for AWS.
    #[default]
    Release,
    /// The programs of `sam build`, deployed without the SAM CLI, which needs several seconds of CPU for each deployment.
    ReleaseDirect,
    /// The dev profile, with one call of cargo and without the SAM CLI.
    Dev,
}

/// The built functions and the installed emulator.
pub(crate) struct Prepared {
    workspace: Workspace,
    interpreter: Interpreter,
    pub(crate) emulator: Environment,
    functions: Functions,
}

enum Functions {
    /// Deployed by `sam deploy`.
    Sam(Sam, Build),
    /// Deployed by `deploy.py`.
    Direct(Programs),
    /// The files of a release package, deployed by `deploy.py`.
    Packaged(Package),
}

/// A deployed stack.
pub(crate) struct Deployed {
    pub(crate) outputs: Outputs,
    /// What `--watch` and another deployment need. A stack of `sam deploy` does not have it.
    pub(crate) reloadable: Option<Reloadable>,
}

/// Functions whose code can be replaced.
pub(crate) struct Reloadable {
    pub(crate) deployer: Deployer,
    /// The running programs, by function.
    pub(crate) programs: Programs,
}

/// Builds the functions and installs what is needed to deploy them.
///
/// # Errors
/// A failed build or installation.
pub(crate) async fn prepare(
    workspace: &Workspace,
    interpreter: &Interpreter,
    profile: Profile,
    progress: Progress,
) -> Result<Prepared> {
    let environment =
        |packages, progress| python::environment(workspace, interpreter, packages, progress);
    let (emulator, functions) = match profile {
        Profile::Release | Profile::ReleaseDirect => {
            let emulator = environment(python::EMULATOR, progress).await?;
            let packages = environment(python::SAM, progress).await?;
            let sam = Sam::new(workspace.clone(), packages, interpreter.clone());
            let build = sam.build(progress).await?;
            let functions = match profile {
                Profile::ReleaseDirect => Functions::Direct(build.programs()),
                _ => Functions::Sam(sam, build),
            };
            (emulator, functions)
        }
        Profile::Dev => {
            let log = workspace.local().join("build").join("dev.log");
            let step = progress.long_step(
                "Building the functions, installing the emulator",
                "1 minute the first time",
                Some(&log),
            );
            // The step of the environment would overwrite the line of this one.
            let (emulator, programs) = tokio::try_join!(
                environment(python::EMULATOR, Progress::Silent),
                functions::build(workspace, interpreter, &log)
            )?;
            step.done();
            (emulator, Functions::Direct(programs))
        }
    };
    Ok(Prepared {
        workspace: workspace.clone(),
        interpreter: interpreter.clone(),
        emulator,
        functions,
    })
}

/// Finds the files of a release package and installs what is needed to deploy them, which is the emulator.
///
/// # Errors
/// [`LocalError::InvalidPackage`], or a failed installation.
pub(crate) async fn prepare_package(
    workspace: &Workspace,
    interpreter: &Interpreter,
    directory: &Path,
    progress: Progress,
) -> Result<Prepared> {
    let package = Package::find(directory)?;
    let emulator = python::environment(workspace, interpreter, python::EMULATOR, progress).await?;
    Ok(Prepared {
        workspace: workspace.clone(),
        interpreter: interpreter.clone(),
        emulator,
        functions: Functions::Packaged(package),
    })
}

impl Prepared {
    /// Deploys the template and the functions to `emulator`. `directory` is the stack's.
    ///
    /// # Errors
    /// A failed deployment, with its reason.
    pub(crate) async fn deploy(
        &self,
        emulator: &Emulator,
        clients: &Clients,
        parameters: &BTreeMap<String, String>,
        directory: &Path,
    ) -> Result<Deployed> {
        match &self.functions {
            Functions::Sam(sam, build) => {
                let outputs = sam.deploy(build, emulator, clients, parameters, directory);
                Ok(Deployed {
                    outputs: outputs.await?,
                    reloadable: None,
                })
            }
            Functions::Direct(programs) => {
                self.deploy_programs(programs, emulator, parameters, directory)
                    .await
            }
            Functions::Packaged(package) => {
                let template = directory.join("template.yaml");
                emulator_template::write(package.template(), &template, None)?;
                let mut parameters = parameters.clone();
                let code = ("CodeBucket".to_owned(), ARTIFACT_BUCKET.to_owned());
                let architecture = ("Architecture".to_owned(), ARCHITECTURE.to_owned());
                parameters.extend([code, architecture]);
                let deployment = Deployment {
                    stack_name: STACK_NAME,
                    bucket: ARTIFACT_BUCKET,
                    template: &template,
                    parameters: &parameters,
                    functions: &Programs::new(),
                    packages: package.archives(),
                };
                let deployer = self.deployer(emulator, directory);
                Ok(Deployed {
                    outputs: deployer.deploy(&deployment).await?,
                    reloadable: None,
                })
            }
        }
    }

    /// Returns what calls `emulator` with `deploy.py`. `directory` is the stack's.
    pub(crate) fn deployer(&self, emulator: &Emulator, directory: &Path) -> Deployer {
        Deployer {
            interpreter: self.interpreter.clone(),
            environment: self.emulator.clone(),
            endpoint: emulator.endpoint(),
            credentials: emulator.credentials().clone(),
            directory: directory.to_path_buf(),
        }
    }

    async fn deploy_programs(
        &self,
        programs: &Programs,
        emulator: &Emulator,
        parameters: &BTreeMap<String, String>,
        directory: &Path,
    ) -> Result<Deployed> {
        let template = directory.join("template.yaml");
        let source = self.workspace.root().join("template.yaml");
        let prefix = format!("s3://{ARTIFACT_BUCKET}/");
        emulator_template::write(&source, &template, Some(&prefix))?;
        let copies = programs.iter().map(|(name, program)| {
            let copy = functions::copy(program, name, 0, directory)?;
            Ok((name.clone(), copy))
        });
        let programs: Programs = copies.collect::<Result<_>>()?;
        let mut parameters = parameters.clone();
        parameters
            .entry("Architecture".to_owned())
            .or_insert_with(|| ARCHITECTURE.to_owned());
        let deployer = self.deployer(emulator, directory);
        let outputs = deployer
            .deploy(&Deployment {
                stack_name: STACK_NAME,
                bucket: ARTIFACT_BUCKET,
                template: &template,
                parameters: &parameters,
                functions: &programs,
                packages: &BTreeMap::new(),
            })
            .await?;
        Ok(Deployed {
            outputs,
            reloadable: Some(Reloadable { deployer, programs }),
        })
    }
}
