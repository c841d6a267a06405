//! What the demo tells, on the terminal and, when asked for, as a picture of it: an SVG of the very lines that were printed.

use crate::shown;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// Pixels of a character and of a line at the picture's font size.
const CHARACTER: f64 = 7.8;
const LINE: usize = 18;
const MARGIN: usize = 16;
/// Characters of a line in the picture, and lines of one command's output: the first and the last of longer ones.
const COLUMNS: usize = 112;
const FIRST: usize = 18;
const LAST: usize = 6;

/// What a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Heading,
    Text,
    Command,
    Output,
    Guest,
}

/// Lines with what they are.
#[derive(Default)]
pub struct Story {
    lines: Vec<(Kind, String)>,
}

impl Story {
    pub fn heading(&mut self, text: &str) {
        self.tell(Kind::Heading, text);
    }

    pub fn say(&mut self, text: &str) {
        self.tell(Kind::Text, text);
    }

    /// Lines of a guest's console.
    pub fn guest(&mut self, lines: &[String]) {
        lines.iter().for_each(|line| self.tell(Kind::Guest, line));
    }

    /// Runs a command and shows what it prints; its progress, on standard error, goes to the terminal only.
    pub fn command(&mut self, words: &str, command: &mut Command) -> Result<()> {
        self.tell(Kind::Command, words);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
        let output = child.with_context(|| format!("cannot start {words}"))?.wait_with_output()?;
        String::from_utf8_lossy(&output.stdout).lines().for_each(|line| self.tell(Kind::Output, line));
        if !output.status.success() {
            bail!("`{words}` ended with {}", output.status);
        }
        Ok(())
    }

    fn tell(&mut self, kind: Kind, text: &str) {
        match kind {
            Kind::Heading => println!("\n== {text} =="),
            Kind::Command => println!("$ {text}"),
            Kind::Text | Kind::Output => println!("{text}"),
            Kind::Guest => println!("  | {text}"),
        }
        self.lines.push((kind, text.to_owned()));
    }

    /// Writes the picture.
    pub fn record(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, self.svg()).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", shown(path));
        Ok(())
    }

    fn svg(&self) -> String {
        let lines = self.trimmed();
        let width = (COLUMNS as f64 * CHARACTER) as usize + 2 * MARGIN;
        let height = lines.len() * LINE + 2 * MARGIN;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             font-family=\"ui-monospace,Menlo,Consolas,monospace\" font-size=\"13\" fill=\"#c9d1d9\">\n\
             <title>cargo xtask demo</title>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#0d1117\"/>\n"
        );
        for (number, (kind, text)) in lines.iter().enumerate() {
            let (fill, weight) = match kind {
                Kind::Heading => ("#79c0ff", " font-weight=\"bold\""),
                Kind::Command => ("#f0f6fc", " font-weight=\"bold\""),
                Kind::Text => ("#8b949e", ""),
                Kind::Output => ("#c9d1d9", ""),
                Kind::Guest => ("#7ee787", ""),
            };
            let y = MARGIN + (number + 1) * LINE - 5;
            let text = escaped(&text.chars().take(COLUMNS).collect::<String>());
            svg.push_str(&format!(
                "<text x=\"{MARGIN}\" y=\"{y}\" fill=\"{fill}\"{weight} xml:space=\"preserve\">{text}</text>\n"
            ));
        }
        svg + "</svg>\n"
    }

    /// The lines of the picture: what is long is cut in its middle, and says so.
    fn trimmed(&self) -> Vec<(Kind, String)> {
        let mut trimmed: Vec<(Kind, String)> = Vec::new();
        for run in self.lines.chunk_by(|a, b| a.0 == b.0) {
            let kind = run[0].0;
            let prefix = match kind {
                Kind::Command => "$ ",
                Kind::Guest => "│ ",
                _ => "",
            };
            if kind == Kind::Heading && !trimmed.is_empty() {
                trimmed.push((Kind::Text, String::new()));
            }
            let cut = run.len().saturating_sub(FIRST + LAST);
            for (number, (_, text)) in run.iter().enumerate() {
                if cut > 0 && number == FIRST {
                    trimmed.push((Kind::Text, format!("  … {cut} more lines")));
                }
                if cut == 0 || !(FIRST..FIRST + cut).contains(&number) {
                    trimmed.push((kind, format!("{prefix}{text}")));
                }
            }
        }
        trimmed
    }
}

/// Text of an XML document; what XML cannot hold is left out.
fn escaped(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(count: usize) -> Story {
        let lines = (0..count).map(|number| (Kind::Output, format!("line {number} <&>\u{1b}")));
        Story { lines: lines.collect() }
    }

    #[test]
    fn a_long_output_is_cut_in_its_middle_and_says_so() {
        let texts: Vec<String> = story(40).trimmed().into_iter().map(|line| line.1).collect();
        assert_eq!(texts.len(), FIRST + 1 + LAST);
        assert_eq!(texts[FIRST], "  … 16 more lines");
        assert!(texts[FIRST + 1].starts_with("line 34 ") && texts[FIRST + LAST].starts_with("line 39 "));
        assert_eq!(story(FIRST + LAST).trimmed().len(), FIRST + LAST);
    }

    #[test]
    fn the_picture_is_xml() {
        let svg = story(3).svg();
        assert_eq!(svg.matches("<text ").count(), 3);
        assert!(svg.contains("line 2 &lt;&amp;&gt;</text>"), "{svg}");
    }
}
