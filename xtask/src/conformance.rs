//! `cargo xtask conformance`: which test shows which rule of the script API.
//!
//! `docs/lua-conformance.tsv` lists the rules. A test shows those that its name begins with, in
//! snake case: `evt_08_…`, `cnv_01_and_02_…`, `pub_02_03_and_20_…`, `mon_05_to_09_…`,
//! `smp_05_and_def_01_…`. From both comes `docs/lua-conformance.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::shell::root;

const LIST: &str = "docs/lua-conformance.tsv";
const TABLE: &str = "docs/lua-conformance.md";

/// Folders without tests of this workspace.
const NOT_SEARCHED: &[&str] = &["target", ".git", "data", "logs", "node_modules"];

/// One row of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    id: String,
    tier: String,
    note: Note,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Note {
    None,
    /// Nothing has to call it.
    Optional,
    /// Met where all of these are.
    Same(Vec<String>),
    /// Known to be without a test, and why.
    Pending(String),
}

/// A test function: its name and its file from the workspace's folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Test {
    name: String,
    file: String,
}

/// Tests of each rule, by its ID.
type Shown = BTreeMap<String, Vec<Test>>;

/// Writes the table anew.
///
/// # Errors
/// The list or a name is wrong, or a rule has no test.
pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    if !arguments.is_empty() {
        return Err("usage: cargo xtask conformance".to_owned());
    }
    let (table, missing) = generate()?;
    write(&table)?;
    complain(&missing)
}

/// The step of `cargo xtask test`.
///
/// # Errors
/// As [`run`], and when the table was another one: it is written, to be committed.
pub(crate) fn step() -> Result<(), String> {
    let (table, missing) = generate()?;
    let path = root().join(TABLE);
    let stale = fs::read_to_string(&path).map_or(true, |old| old != table);
    if stale {
        write(&table)?;
    }
    complain(&missing)?;
    if stale {
        return Err(format!("{TABLE} was not what the tests say; it is now: commit it"));
    }
    Ok(())
}

fn write(table: &str) -> Result<(), String> {
    fs::write(root().join(TABLE), table).map_err(|error| format!("{TABLE}: {error}"))
}

fn complain(missing: &[String]) -> Result<(), String> {
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "rules without a test: {}; name one after each (fn evt_08_what_holds)",
        missing.join(", ")
    ))
}

fn generate() -> Result<(String, Vec<String>), String> {
    let list = fs::read_to_string(root().join(LIST)).map_err(|e| format!("{LIST}: {e}"))?;
    let rules = parse_list(&list)?;
    let mut shown = Shown::new();
    for file in sources(&root()).map_err(|error| format!("looking for tests: {error}"))? {
        let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let relative = file.strip_prefix(root()).unwrap_or(&file);
        let relative = relative.to_string_lossy().replace('\\', "/");
        collect(&text, &relative, &rules, &mut shown)?;
    }
    Ok((table(&rules, &shown), missing(&rules, &shown)))
}

fn parse_list(list: &str) -> Result<Vec<Rule>, String> {
    let mut rules: Vec<Rule> = Vec::new();
    for (index, line) in list.lines().enumerate() {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let wrong = |what: &str| format!("{LIST}:{}: {what}", index + 1);
        let [id, tier, note, text] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(wrong("four columns with tabs between: ID, tier, note, rule"));
        };
        if split_id(id).is_none() {
            return Err(wrong("an ID is three capitals, a dash and two digits"));
        }
        if rules.iter().any(|rule| rule.id == id) {
            return Err(wrong("this ID is listed twice"));
        }
        let note = match note.split_once(' ').unwrap_or((note, "")) {
            ("", "") => Note::None,
            ("optional", "") => Note::Optional,
            ("=", ids) => Note::Same(ids.split(' ').map(str::to_owned).collect()),
            ("pending", why) if !why.is_empty() => Note::Pending(why.to_owned()),
            _ => return Err(wrong("a note is `optional`, `= ID ID` or `pending WHY`")),
        };
        rules.push(Rule { id: id.into(), tier: tier.into(), note, text: text.into() });
    }
    for rule in &rules {
        let Note::Same(ids) = &rule.note else { continue };
        if let Some(unknown) = ids.iter().find(|id| !rules.iter().any(|rule| rule.id == **id)) {
            return Err(format!("{LIST}: {} refers to {unknown}, which is not listed", rule.id));
        }
    }
    Ok(rules)
}

/// `EVT-08` as `EVT` and 8.
fn split_id(id: &str) -> Option<(&str, u8)> {
    let (prefix, number) = id.split_once('-')?;
    let capitals = prefix.len() == 3 && prefix.bytes().all(|byte| byte.is_ascii_uppercase());
    Some((prefix, two_digits(number)?)).filter(|_| capitals)
}

fn two_digits(text: &str) -> Option<u8> {
    let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// The IDs that a name begins with.
fn ids(name: &str, rules: &[Rule]) -> Result<Vec<String>, String> {
    let words: Vec<&str> = name.split('_').collect();
    let prefix = |word: &str| {
        let capitals = word.to_ascii_uppercase();
        let lower = word.bytes().all(|byte| byte.is_ascii_lowercase());
        let of = |rule: &Rule| split_id(&rule.id).is_some_and(|(prefix, _)| prefix == capitals);
        (lower && rules.iter().any(of)).then_some(capitals)
    };
    let number = |at: usize| words.get(at).and_then(|word| two_digits(word));
    let mut found: Vec<String> = Vec::new();
    let mut current: Option<(String, u8)> = None;
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let joined = usize::from(*word == "and" && current.is_some());
        let begun = words.get(at + joined).and_then(|word| prefix(word));
        let (prefix, next) = match (begun, &current) {
            (Some(prefix), _) if number(at + joined + 1).is_some() => (prefix, at + joined + 1),
            (_, Some((prefix, _))) if number(at + joined).is_some() => {
                (prefix.clone(), at + joined)
            }
            (_, Some((prefix, _))) if *word == "to" && number(at + 1).is_some() => {
                (prefix.clone(), at + 1)
            }
            _ => break,
        };
        let Some(last) = number(next) else { break };
        let first = match &current {
            Some((_, before)) if *word == "to" => before + 1,
            _ => last,
        };
        let within = |rule: &&Rule| {
            split_id(&rule.id).is_some_and(|(p, n)| p == prefix && (first..=last).contains(&n))
        };
        let named: Vec<String> = rules.iter().filter(within).map(|rule| rule.id.clone()).collect();
        if !named.iter().any(|id| split_id(id).is_some_and(|(_, n)| n == last)) {
            return Err(format!("{name}: {prefix}-{last:02} is not listed in {LIST}"));
        }
        found.extend(named);
        current = Some((prefix, last));
        at = next + 1;
    }
    Ok(found)
}

/// Adds the tests of one file.
fn collect(text: &str, file: &str, rules: &[Rule], shown: &mut Shown) -> Result<(), String> {
    let (mut is_test, mut ignored) = (false, false);
    for line in text.lines().map(str::trim) {
        if let Some(attribute) = line.strip_prefix("#[") {
            let word = attribute.split([']', '(']).next().unwrap_or_default().trim();
            is_test |= word == "test" || word.ends_with("::test");
            ignored |= word == "ignore" || word.starts_with("ignore ");
            continue;
        }
        let Some(name) = function_name(line) else {
            let between = line.is_empty() || line.starts_with("//");
            (is_test, ignored) = (is_test && between, ignored && between);
            continue;
        };
        if is_test {
            let ids = ids(name, rules).map_err(|problem| format!("{file}: {problem}"))?;
            if ignored && !ids.is_empty() {
                return Err(format!("{file}: {name} is ignored, and shows nothing so"));
            }
            for id in ids {
                let test = Test { name: name.to_owned(), file: file.to_owned() };
                shown.entry(id).or_default().push(test);
            }
        }
        (is_test, ignored) = (false, false);
    }
    shown.values_mut().for_each(|tests| tests.sort());
    Ok(())
}

/// The name in `pub async fn name(…`.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let only_words = before.bytes().all(|b| b.is_ascii_lowercase() || b" ()".contains(&b));
    let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))?;
    Some(&after[..end]).filter(|name| only_words && !name.is_empty())
}

/// Every Rust file of the workspace, in a fixed order.
fn sources(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if !NOT_SEARCHED.iter().any(|skipped| name == *skipped) {
                found.extend(sources(&path)?);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Whether a rule has a test, its own or those that its note names.
fn is_met(rule: &Rule, shown: &Shown) -> bool {
    shown.contains_key(&rule.id)
        || matches!(&rule.note, Note::Same(ids) if ids.iter().all(|id| shown.contains_key(id)))
}

/// Rules without a test whose note does not say so.
fn missing(rules: &[Rule], shown: &Shown) -> Vec<String> {
    let wrong = |rule: &&Rule| match rule.note {
        Note::Optional | Note::Pending(_) => false,
        Note::None | Note::Same(_) => !is_met(rule, shown),
    };
    rules.iter().filter(wrong).map(|rule| rule.id.clone()).collect()
}

fn state(rule: &Rule, shown: &Shown) -> String {
    let tested = shown.contains_key(&rule.id);
    match &rule.note {
        Note::Optional if tested => "tested; optional".to_owned(),
        Note::Optional => "not required".to_owned(),
        _ if tested => "tested".to_owned(),
        Note::Same(ids) if is_met(rule, shown) => format!("as {}", ids.join(", ")),
        Note::Pending(why) => format!("**not there**: {why}"),
        Note::None | Note::Same(_) => "**no test**".to_owned(),
    }
}

fn table(rules: &[Rule], shown: &Shown) -> String {
    let met = rules.iter().filter(|rule| is_met(rule, shown)).count();
    let tests: std::collections::BTreeSet<&Test> = shown.values().flatten().collect();
    let mut out = format!(
        "# Conformance of the script API\n\n\
         Written by `cargo xtask conformance` from [lua-conformance.tsv](lua-conformance.tsv) and \
         the names of the tests;\n`cargo xtask test` fails when a rule has no test. Do not edit \
         it by hand.\n\n\
         {met} of {} rules are shown by {} tests.\n\n\
         Tier 1 is what the cluster page of MonaServer names or uses, 2 what its other pages of \
         2014 describe, 3 what\ncame later; *d* marks a decision of this project. What each name \
         means is in [lua-api](lua-api.md).\n\n\
         | ID | Tier | Rule | Tests | State |\n|---|---|---|---|---|\n",
        rules.len(),
        tests.len(),
    );
    for rule in rules {
        let tests = shown.get(&rule.id).map(Vec::as_slice).unwrap_or_default();
        let tests: Vec<String> =
            tests.iter().map(|test| format!("`{}` ({})", test.name, test.file)).collect();
        let Rule { id, tier, text, .. } = rule;
        let text = text.replace('|', "\\|");
        let _ = writeln!(
            out,
            "| {id} | {tier} | {text} | {} | {} |",
            tests.join("<br>"),
            state(rule, shown)
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Vec<Rule> {
        let ids = ["EVT-08", "EVT-09", "CNV-01", "CNV-02", "CNV-04", "DEF-01", "DEF-02", "SMP-05"];
        let list: String = ids.iter().map(|id| format!("{id}\t1\t\trule\n")).collect();
        parse_list(&list).unwrap()
    }

    fn named(name: &str) -> Vec<String> {
        ids(name, &rules()).unwrap()
    }

    #[test]
    fn a_name_begins_with_one_id_or_several() {
        assert_eq!(named("evt_08_five_parameters"), ["EVT-08"]);
        assert_eq!(named("evt_08_09_what"), ["EVT-08", "EVT-09"]);
        assert_eq!(named("cnv_01_and_02_nil"), ["CNV-01", "CNV-02"]);
        assert_eq!(named("cnv_01_to_04_all"), ["CNV-01", "CNV-02", "CNV-04"]);
        assert_eq!(named("cnv_04_evt_08_both"), ["CNV-04", "EVT-08"]);
        assert_eq!(
            named("smp_05_and_def_01_and_02_strangers_and_02_more"),
            ["SMP-05", "DEF-01", "DEF-02"]
        );
        assert_eq!(named("a_list_of_evt_08"), [""; 0]);
        assert_eq!(named("evt_8_is_no_id"), [""; 0]);
    }

    #[test]
    fn an_id_that_is_not_listed_is_an_error() {
        let problem = ids("evt_10_what", &rules()).unwrap_err();
        assert!(problem.contains("EVT-10"), "{problem}");
        assert!(ids("cnv_01_to_03_what", &rules()).is_err());
    }

    #[test]
    fn functions_with_a_test_attribute_are_tests() {
        let text = "#[test]\nfn evt_08_a() {}\n\nfn evt_09_helper() {}\n\
            #[actix::test]\n#[allow(x)]\n// why\nasync fn cnv_01_b() {}\n\
            proptest! {\n    #[test]\n    fn cnv_02_c(value in any()) {\n";
        let mut shown = Shown::new();
        collect(text, "x.rs", &rules(), &mut shown).unwrap();
        assert_eq!(shown.keys().collect::<Vec<_>>(), ["CNV-01", "CNV-02", "EVT-08"]);
        let ignored = "#[test]\n#[ignore = \"later\"]\nfn evt_08_a() {}\n";
        assert!(collect(ignored, "x.rs", &rules(), &mut shown).is_err());
    }

    #[test]
    fn a_rule_without_a_test_is_missing_unless_its_note_says_why() {
        let list = "EVT-08\t1\t\ta\nEVT-09\t1\t= EVT-08\tb\nCNV-01\t2\toptional\tc\n\
            CNV-02\t2\tpending no socket yet\td\nCNV-03\t2\t= CNV-02\te\n";
        let rules = parse_list(list).unwrap();
        let mut shown = Shown::new();
        assert_eq!(missing(&rules, &shown), ["EVT-08", "EVT-09", "CNV-03"]);
        collect("#[test]\nfn evt_08_a() {}\n", "x.rs", &rules, &mut shown).unwrap();
        assert_eq!(missing(&rules, &shown), ["CNV-03"]);
        let table = table(&rules, &shown);
        for row in [
            "2 of 5 rules are shown by 1 tests",
            "| EVT-08 | 1 | a | `evt_08_a` (x.rs) | tested |",
            "| EVT-09 | 1 | b |  | as EVT-08 |",
            "| CNV-01 | 2 | c |  | not required |",
            "| CNV-02 | 2 | d |  | **not there**: no socket yet |",
            "| CNV-03 | 2 | e |  | **no test** |",
        ] {
            assert!(table.contains(row), "{row}\n{table}");
        }
    }

    #[test]
    fn a_wrong_list_names_its_line() {
        for (list, what) in [
            ("EVT-08\t1\trule\n", ":1:"),
            ("EVT-8\t1\t\trule\n", "three capitals"),
            ("EVT-08\t1\t\ta\nEVT-08\t1\t\tb\n", ":2:"),
            ("EVT-08\t1\tsometime\ta\n", "a note is"),
            ("EVT-08\t1\t= EVT-09\ta\n", "EVT-09"),
        ] {
            let problem = parse_list(list).unwrap_err();
            assert!(problem.contains(what), "{problem}");
        }
    }

    #[test]
    fn the_list_of_this_project_is_sound() {
        let list = fs::read_to_string(root().join(LIST)).unwrap();
        assert!(parse_list(&list).unwrap().len() > 400);
    }
}
