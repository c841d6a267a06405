//! The property collector: what objects are like, and waiting until they are.

use crate::vim::session::Session;
use crate::vim::soap::{Element, Ref, method_fault};
use wherry_sdk::platform::xml;
use wherry_sdk::{Error, ErrorKind, Result, cancelled};

/// Pages and objects of one list, and rounds of waiting.
const PAGES_MOST: usize = 500;
const OBJECTS_MOST: usize = 100_000;
const ROUNDS_MOST: usize = 720;
/// The server answers sooner where something changes.
const WAIT_SECONDS: u32 = 10;

/// An object and those of its properties that were asked for.
#[derive(Debug)]
pub struct Object {
    pub this: Ref,
    properties: Vec<(String, Element)>,
}

impl Object {
    fn of(element: &Element) -> Option<Self> {
        let property = |set: &Element| Some((set.text("name").to_owned(), set.child("val")?.clone()));
        let properties = element.all("propSet").filter_map(property).collect();
        Some(Self { this: element.reference("obj")?, properties })
    }

    pub fn get(&self, name: &str) -> Option<&Element> {
        self.properties.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub fn text(&self, name: &str) -> &str {
        self.get(name).map(|value| value.text.as_str()).unwrap_or_default()
    }

    /// The objects in an array.
    pub fn references(&self, name: &str) -> Vec<Ref> {
        let values = self.get(name).into_iter().flat_map(|value| &value.children);
        values.filter_map(Element::as_ref).collect()
    }
}

fn property_set(kind: &str, paths: &[&str]) -> String {
    let paths: String = paths.iter().map(|path| format!("<pathSet>{path}</pathSet>")).collect();
    format!("<propSet><type>{kind}</type>{paths}</propSet>")
}

impl Session<'_> {
    /// These properties of one object.
    pub fn properties(&self, this: &Ref, paths: &[&str]) -> Result<Object> {
        let spec = format!(
            "<specSet>{}<objectSet>{}</objectSet></specSet>",
            property_set(&xml(&this.kind), paths),
            this.xml("obj")
        );
        let missing =
            || Error::new(ErrorKind::NotFound, format!("the server has no {} {}", this.kind, this.id));
        self.retrieve(&spec)?.into_iter().next().ok_or_else(missing)
    }

    /// All objects below `container` that are of these types, with these properties.
    pub fn all(&self, container: &Ref, kinds: &[(&str, &[&str])]) -> Result<Vec<Object>> {
        let types: String = kinds.iter().map(|(kind, _)| format!("<type>{kind}</type>")).collect();
        let arguments = format!("{}{types}<recursive>true</recursive>", container.xml("container"));
        let answer = self.call("CreateContainerView", &self.content.views, &arguments)?;
        let missing = || Error::new(ErrorKind::Io, "CreateContainerView: the server made no view");
        let view = answer.reference("returnval").ok_or_else(missing)?;
        let sets: String = kinds.iter().map(|(kind, paths)| property_set(kind, paths)).collect();
        let spec = format!(
            "<specSet>{sets}<objectSet>{}<skip>true</skip><selectSet xsi:type=\"TraversalSpec\"><name>view</name>\
             <type>ContainerView</type><path>view</path><skip>false</skip></selectSet></objectSet></specSet>",
            view.xml("obj")
        );
        let found = self.retrieve(&spec);
        let _ = self.call("DestroyView", &view, "");
        found
    }

    fn retrieve(&self, spec: &str) -> Result<Vec<Object>> {
        let mut arguments = format!("{spec}<options></options>");
        let mut method = "RetrievePropertiesEx";
        let mut objects = Vec::new();
        for _ in 0..PAGES_MOST {
            let answer = self.call(method, &self.content.properties, &arguments)?;
            let Some(page) = answer.child("returnval") else { return Ok(objects) };
            objects.extend(page.all("objects").filter_map(Object::of));
            let token = page.text("token");
            if token.is_empty() {
                return Ok(objects);
            }
            if objects.len() > OBJECTS_MOST {
                break;
            }
            arguments = format!("<token>{}</token>", xml(token));
            method = "ContinueRetrievePropertiesEx";
        }
        Err(Error::new(
            ErrorKind::Limit,
            format!("the server's list has {} objects and goes on", objects.len()),
        ))
    }

    /// Reads `path` of `this` again and again until `done` has an answer; the server waits with us.
    pub fn wait<T>(
        &self,
        this: &Ref,
        paths: &[&str],
        done: &dyn Fn(&Object) -> Result<Option<T>>,
    ) -> Result<T> {
        if let Some(found) = done(&self.properties(this, paths)?)? {
            return Ok(found);
        }
        let set = property_set(&xml(&this.kind), paths);
        let spec = format!(
            "<spec>{set}<objectSet>{}</objectSet></spec><partialUpdates>false</partialUpdates>",
            this.xml("obj")
        );
        let answer = self.call("CreateFilter", &self.content.properties, &spec)?;
        let filter = answer.reference("returnval");
        let found = self.watch(this, paths, done);
        if let Some(filter) = filter {
            let _ = self.call("DestroyPropertyFilter", &filter, "");
        }
        found
    }

    fn watch<T>(&self, this: &Ref, paths: &[&str], done: &dyn Fn(&Object) -> Result<Option<T>>) -> Result<T> {
        let mut version = String::new();
        for _ in 0..ROUNDS_MOST {
            if cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "stopped while the server was at work"));
            }
            let options = format!("<options><maxWaitSeconds>{WAIT_SECONDS}</maxWaitSeconds></options>");
            let arguments = format!("<version>{}</version>{options}", xml(&version));
            let answer = self.call("WaitForUpdatesEx", &self.content.properties, &arguments)?;
            if let Some(update) = answer.child("returnval") {
                update.text("version").clone_into(&mut version);
            }
            if let Some(found) = done(&self.properties(this, paths)?)? {
                return Ok(found);
            }
        }
        Err(Error::new(ErrorKind::Busy, format!("{} {} does not come to an end", this.kind, this.id)))
    }

    /// The result of a task once it has ended.
    pub fn finished(&self, method: &str, task: &Ref) -> Result<Element> {
        self.wait(task, &["info"], &|task| {
            let info = task.get("info").cloned().unwrap_or_default();
            match info.text("state") {
                "success" => Ok(Some(info.child("result").cloned().unwrap_or_default())),
                "error" => {
                    let error = info.child("error").cloned().unwrap_or_default();
                    let name = error.child("fault").map(|fault| fault.kind.as_str()).unwrap_or_default();
                    Err(method_fault(method, name, error.text("localizedMessage")))
                }
                _ => Ok(None),
            }
        })
    }
}
