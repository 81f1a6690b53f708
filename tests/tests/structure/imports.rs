//! Which file of a crate imports which other file.
//!
//! A path counts where its item is defined: `crate::facade::Item` is an import of the file that defines `Item`, not of the
//! facade that re-exports it. `mod child;` alone imports nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Each file and the files that it imports.
pub(super) type Imports = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// Re-exports that lead to each other end the search for a name.
const DEEPEST_REEXPORT: usize = 32;

/// The imports between the files of the crate with this root file.
pub(super) fn read_imports(root: &Path) -> Imports {
    let mut source = Crate::default();
    let directory = root.parent().unwrap().to_owned();
    source.read_file(root, directory, None);
    source.imports()
}

/// A path of names, from `use` or in code.
type NamePath = Vec<String>;

/// What a name of a module stands for.
enum Name {
    Item,
    Import(NamePath),
}

/// Where a path leads.
enum Target {
    Module(usize),
    /// An item of this module.
    Item(usize),
}

struct Module {
    file: PathBuf,
    /// Where the files of its child modules are.
    directory: PathBuf,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    names: BTreeMap<String, Name>,
    glob_imports: Vec<NamePath>,
    /// The paths in its imports and in its code.
    paths: BTreeSet<NamePath>,
}

/// The modules of a crate. The first one is its root.
#[derive(Default)]
struct Crate {
    modules: Vec<Module>,
}

impl Crate {
    fn read_file(&mut self, file: &Path, directory: PathBuf, parent: Option<usize>) -> usize {
        let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{file:?}: {e}"));
        let tokens = text.parse().unwrap_or_else(|e| panic!("{file:?}: {e}"));
        self.read_module(file, directory, parent, tokens)
    }

    fn read_module(
        &mut self,
        file: &Path,
        directory: PathBuf,
        parent: Option<usize>,
        tokens: TokenStream,
    ) -> usize {
        let module = self.modules.len();
        self.modules.push(Module {
            file: file.to_owned(),
            directory,
            parent,
            children: BTreeMap::new(),
            names: BTreeMap::new(),
            glob_imports: Vec::new(),
            paths: BTreeSet::new(),
        });
        self.read_tokens(module, tokens, true);
        module
    }

    /// Reads a token stream. Only at the top of a module do `fn name` and the like define a name of the module.
    fn read_tokens(&mut self, module: usize, tokens: TokenStream, is_top: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let before = &tokens[..at];
            let after = &tokens[at + 1..];
            at += 1;
            match token {
                TokenTree::Group(group) => self.read_tokens(module, group.stream(), false),
                TokenTree::Ident(word) => match (word.to_string().as_str(), after) {
                    ("mod", [TokenTree::Ident(name), body, ..]) => {
                        self.read_child(module, &name.to_string(), body, before);
                        at += 2;
                    }
                    ("use", [first, ..]) if !is_punct(first, '<') => {
                        let end = after.iter().position(|token| is_punct(token, ';'));
                        let end = end.unwrap_or(after.len());
                        self.read_use(module, &[], &after[..end]);
                        at += end;
                    }
                    (first, _) => {
                        if let Some(name) = defined_name(first, after).filter(|_| is_top) {
                            self.modules[module].names.insert(name, Name::Item);
                        }
                        at += self.read_path(module, first, before, after);
                    }
                },
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    /// Reads `mod name;` or `mod name { … }`.
    fn read_child(&mut self, module: usize, name: &str, body: &TokenTree, before: &[TokenTree]) {
        let parent = &self.modules[module];
        let (file, directory) = (parent.file.clone(), parent.directory.clone());
        let child = match body {
            TokenTree::Group(group) => {
                self.read_module(&file, directory.join(name), Some(module), group.stream())
            }
            _ => {
                let own_directory = file.parent().unwrap();
                let named = path_attribute(before).map(|path| own_directory.join(path));
                let (file, directory) = match named {
                    Some(file) => (file.clone(), file.parent().unwrap().to_owned()),
                    None => (directory.join(format!("{name}.rs")), directory.join(name)),
                };
                let file = if file.exists() {
                    file
                } else {
                    directory.join("mod.rs")
                };
                self.read_file(&file, directory, Some(module))
            }
        };
        self.modules[module].children.insert(name.to_owned(), child);
    }

    /// Reads the tree of a `use` declaration behind this prefix.
    fn read_use(&mut self, module: usize, prefix: &[String], tree: &[TokenTree]) {
        let mut path = prefix.to_vec();
        let mut name = None;
        let mut tokens = tree.iter();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for branch in inner.split(|token| is_punct(token, ',')) {
                        if !branch.is_empty() {
                            self.read_use(module, &path, branch);
                        }
                    }
                    return;
                }
                TokenTree::Punct(punct) if punct.as_char() == '*' => {
                    self.modules[module].paths.insert(path.clone());
                    self.modules[module].glob_imports.push(path);
                    return;
                }
                TokenTree::Ident(word) if word == "as" => {
                    name = tokens.next().map(ToString::to_string);
                }
                // `a::{self}` imports `a`.
                TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
                TokenTree::Ident(word) => path.push(word.to_string()),
                _ => {}
            }
        }
        let Some(name) = name.or_else(|| path.last().cloned()) else {
            return;
        };
        let module = &mut self.modules[module];
        module.paths.insert(path.clone());
        // An import inside a function must not hide an item of the module.
        module.names.entry(name).or_insert(Name::Import(path));
    }

    /// Reads the path that begins with this word, and returns how many more tokens belong to it.
    fn read_path(
        &mut self,
        module: usize,
        first: &str,
        before: &[TokenTree],
        after: &[TokenTree],
    ) -> usize {
        let mut path = vec![first.to_owned()];
        let mut rest = after;
        while let [a, b, TokenTree::Ident(name), others @ ..] = rest
            && is_punct(a, ':')
            && is_punct(b, ':')
        {
            path.push(name.to_string());
            rest = others;
        }
        if !continues_path(before) {
            self.modules[module].paths.insert(path);
        }
        after.len() - rest.len()
    }

    fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (at, module) in self.modules.iter().enumerate() {
            let others = imports.entry(module.file.clone()).or_default();
            for path in &module.paths {
                if let Some(Target::Item(target)) = self.resolve(at, path, 0) {
                    others.insert(self.modules[target].file.clone());
                }
            }
            others.remove(&module.file);
        }
        imports
    }

    /// Where a path in this module leads, or nothing if it leaves the crate.
    fn resolve(&self, module: usize, path: &[String], depth: usize) -> Option<Target> {
        let mut at = module;
        let mut is_relative = true;
        for (index, name) in path.iter().enumerate() {
            match name.as_str() {
                "crate" => at = 0,
                "super" => at = self.modules[at].parent?,
                "self" => {}
                name => match self.look_up(at, name, index + 1 == path.len(), depth) {
                    Some(Target::Module(child)) => at = child,
                    Some(item) => return Some(item),
                    None if is_relative => return None,
                    // Something that a macro defines there.
                    None => return Some(Target::Item(at)),
                },
            }
            is_relative = false;
        }
        Some(Target::Module(at))
    }

    fn look_up(&self, at: usize, name: &str, is_last: bool, depth: usize) -> Option<Target> {
        if depth > DEEPEST_REEXPORT {
            return None;
        }
        let module = &self.modules[at];
        let child = || module.children.get(name).copied().map(Target::Module);
        match module.names.get(name) {
            // A module and a function may have the same name.
            Some(_) if !is_last && module.children.contains_key(name) => return child(),
            Some(Name::Item) => return Some(Target::Item(at)),
            Some(Name::Import(path)) if path.first().is_some_and(|first| first != name) => {
                return self.resolve(at, path, depth + 1);
            }
            _ => {}
        }
        child().or_else(|| {
            let through_glob = |path: &NamePath| match self.resolve(at, path, depth + 1)? {
                Target::Module(other) if other != at => {
                    self.look_up(other, name, is_last, depth + 1)
                }
                _ => None,
            };
            module.glob_imports.iter().find_map(through_glob)
        })
    }
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// Whether the next name is a field, a method or the rest of a path.
fn continues_path(before: &[TokenTree]) -> bool {
    match before {
        [.., a, b] if is_punct(b, '.') => !is_punct(a, '.'),
        [.., a, b] => is_punct(a, ':') && is_punct(b, ':'),
        _ => false,
    }
}

/// The name that `fn name`, `struct name`, … or `macro_rules! name` defines.
fn defined_name(keyword: &str, after: &[TokenTree]) -> Option<String> {
    let name = match (keyword, after) {
        ("macro_rules", [_, name, ..]) => name,
        (
            "const" | "enum" | "fn" | "static" | "struct" | "trait" | "type" | "union",
            [name, ..],
        ) => name,
        _ => return None,
    };
    matches!(name, TokenTree::Ident(_)).then(|| name.to_string())
}

/// The file that `#[path = "…"]` names among the attributes directly before an item.
fn path_attribute(before: &[TokenTree]) -> Option<String> {
    let is_attribute = |token: &&TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() != Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == '#',
        TokenTree::Ident(word) => word == "pub",
        TokenTree::Literal(_) => false,
    };
    before
        .iter()
        .rev()
        .take_while(is_attribute)
        .find_map(|token| {
            let TokenTree::Group(group) = token else {
                return None;
            };
            let text = group.stream().to_string();
            let file = text.strip_prefix("path = \"")?.strip_suffix('"')?;
            Some(file.to_owned())
        })
}
