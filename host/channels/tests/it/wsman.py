"""A Windows host, as far as one PowerShell script at a time needs it: the shell of MS-WSMV, section 3.1.4.1. Its answers are
written after the examples there; its "PowerShell" knows our scripts by their first lines and keeps machines in a file."""

import base64
import json
import os
import re
import uuid
import xml.etree.ElementTree as ET

S = "{http://www.w3.org/2003/05/soap-envelope}"
A = "{http://schemas.xmlsoap.org/ws/2004/08/addressing}"
W = "{http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd}"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
R = "{" + SHELL + "}"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
KNOWN = {"To", "ReplyTo", "MaxEnvelopeSize", "MessageID", "Locale", "DataLocale", "OperationTimeout"}
KNOWN |= {"ResourceURI", "Action", "SelectorSet", "OptionSet"}


class Refused(Exception):
    pass


def envelope(action, message, body):
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{S[1:-1]}" xmlns:a="{A[1:-1]}" xmlns:w="{W[1:-1]}" xmlns:rsp="{SHELL}" '
        f'xmlns:x="{TRANSFER}"><s:Header><a:Action>{action}</a:Action>'
        f"<a:MessageID>uuid:{str(uuid.uuid4()).upper()}</a:MessageID>"
        f"<a:To>{A[1:-1]}/role/anonymous</a:To><a:RelatesTo>{message}</a:RelatesTo></s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def fault(message, subcode, code, text):
    body = (
        f"<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>w:{subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{text} </s:Text></s:Reason><s:Detail>'
        f'<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="{code}" Machine="hv1">'
        f"<f:Message>{text} </f:Message></f:WSManFault></s:Detail></s:Fault>"
    )
    return 500, envelope("http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", message, body)


class Host:
    def __init__(self, folder):
        self.path = os.path.join(folder, "state.json")
        self.shells = {}

    def state(self):
        try:
            return json.load(open(self.path))
        except FileNotFoundError:
            return {"machines": {}, "switches": ["LAN"], "directories": {}}

    def answer(self, clear):
        root = ET.fromstring(clear)
        head, body = root.find(S + "Header"), root.find(S + "Body")
        message = head.findtext(A + "MessageID")
        for one in head:
            name = one.tag.split("}")[1]
            if name not in KNOWN and one.get(S + "mustUnderstand") == "true":
                raise Refused(name)
        if head.findtext(W + "ResourceURI") != SHELL + "/cmd" or len(clear) > 512_000:
            return fault(message, "InvalidResource", 2, "no such resource")
        action = head.findtext(A + "Action")
        shell = head.findtext(f"{W}SelectorSet/{W}Selector")
        if action == TRANSFER + "/Create":
            shell = str(uuid.uuid4()).upper()
            self.shells[shell] = {}
            text = f"<rsp:Shell><rsp:ShellId>{shell}</rsp:ShellId><rsp:InputStreams>stdin</rsp:InputStreams></rsp:Shell>"
            text = (
                f"<x:ResourceCreated><a:Address>{head.findtext(A + 'To')}</a:Address><a:ReferenceParameters>"
                f"<w:ResourceURI>{SHELL}/cmd</w:ResourceURI><w:SelectorSet><w:Selector Name=\"ShellId\">{shell}"
                "</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>" + text
            )
            return 200, envelope(action + "Response", message, text)
        if shell not in self.shells:
            return fault(message, "InvalidSelectors", 2150858843, "The request has invalid selectors.")
        state = self.shells[shell]
        if message in state.setdefault("seen", set()):
            return fault(message, "InvalidMessage", 1, "a message was sent twice")
        state["seen"].add(message)
        if action == TRANSFER + "/Delete":
            del self.shells[shell]
            return 200, envelope(action + "Response", message, "")
        name = action.rsplit("/", 1)[1]
        text = getattr(self, name.lower())(state, body)
        if isinstance(text, tuple):
            return fault(message, *text)
        return 200, envelope(action + "Response", message, text)

    def command(self, state, body):
        line = body.find(R + "CommandLine")
        words = [line.findtext(R + "Command")] + [one.text for one in line.findall(R + "Arguments")]
        assert words[0] == "powershell.exe" and words[-2] == "-EncodedCommand", words
        assert "[Console]::In.ReadToEnd()" in base64.b64decode(words[-1]).decode("utf-16-le")
        state.update(id=str(uuid.uuid4()).upper(), stdin=b"", ended=False, waited=False, output=None)
        return f"<rsp:CommandResponse><rsp:CommandId>{state['id']}</rsp:CommandId></rsp:CommandResponse>"

    def send(self, state, body):
        stream = body.find(f"{R}Send/{R}Stream")
        assert stream.get("CommandId") == state["id"] and not state["ended"]
        state["stdin"] += base64.b64decode(stream.text)
        state["ended"] = stream.get("End") == "true"
        return "<rsp:SendResponse/>"

    def receive(self, state, body):
        assert state["ended"], "nobody ends the script's input"
        # As long as a command prints nothing, hosts answer with this fault.
        if not state["waited"]:
            state["waited"] = True
            return "TimedOut", 2150858793, "The WS-Management service cannot complete the operation within the time."
        if state["output"] is None:
            lines, code = self.run(state["stdin"].decode("ascii"))
            coded = ["wherry:" + base64.b64encode(line.encode()).decode() for line in lines]
            state["output"] = "\r\n".join(coded + [""]).encode(), code
            half = len(state["output"][0]) // 2
            pieces = state["output"][0][:half], state["output"][0][half:]
            streams = "".join(
                f'<rsp:Stream Name="stdout" CommandId="{state["id"]}">{base64.b64encode(one).decode()}</rsp:Stream>'
                for one in pieces
            )
            running = f'<rsp:CommandState CommandId="{state["id"]}" State="{SHELL}/CommandState/Running"/>'
            return f"<rsp:ReceiveResponse>{streams}{running}</rsp:ReceiveResponse>"
        return (
            f'<rsp:ReceiveResponse><rsp:Stream Name="stdout" CommandId="{state["id"]}" End="true"></rsp:Stream>'
            f'<rsp:Stream Name="stderr" CommandId="{state["id"]}" End="true"></rsp:Stream>'
            f'<rsp:CommandState CommandId="{state["id"]}" State="{SHELL}/CommandState/Done">'
            f"<rsp:ExitCode>{state['output'][1]}</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse>"
        )

    def signal(self, state, body):
        assert body.findtext(f"{R}Signal/{R}Code").endswith("/signal/terminate")
        return "<rsp:SignalResponse/>"

    # The scripts, by their first lines.

    def run(self, script):
        kind = re.search(r"^# wherry: (\w+)$", script, re.M).group(1)
        values = dict(re.findall(r"^\$(\w+) = '((?:[^']|'')*)'$", script, re.M))
        values = {name: value.replace("''", "'") for name, value in values.items()}
        state = self.state()
        try:
            lines = getattr(self, "do_" + kind)(state, values, script)
        except Refused as error:
            return [f"error={error}"], 1
        json.dump(state, open(self.path, "w"))
        return lines + ["done="], 0

    def do_look(self, state, values, _):
        switches = [f"switch={name}" for name in state["switches"]]
        there = ["directory=yes"] if values["Directory"] in state["directories"] else []
        return ["host=HV1", "version=10.0.20348.0", "processors=8", "memory=17179869184"] + switches + there

    def do_check(self, state, values, _):
        file = os.path.join(state["directories"][values["Directory"]], values["Claim"])
        if not os.path.exists(file) or values["Key"] not in open(file).read():
            raise Refused(f"{values['Claim']} is not what was written into the output directory")
        machine = state["machines"].get(values["Name"])
        if machine and machine["notes"] != "wherry-key: " + values["Key"]:
            raise Refused("there is a machine of that name")
        return []

    def do_make(self, state, values, script):
        place = re.search(r"^\} -Disks '([^']*)' -Path '([^']*)'", script, re.M).group(1)
        files = re.findall(r"@\{ File = '([^']*)'", script)
        for file in files:
            if not os.path.exists(os.path.join(state["directories"][place], file)):
                raise Refused(f"{file} is not there")
        new = {"id": str(uuid.uuid4()), "notes": values["Key"], "state": "Off", "points": [], "made": 0}
        machine = state["machines"].setdefault(values["Name"], new)
        machine["made"] += 1
        if values.get("Checkpoint") and machine["state"] == "Off" and not machine["points"]:
            machine["points"].append("wherry: as it came")
        if values.get("Start"):
            machine["state"] = "Running"
        return ["warning=a card is not connected", f"machine={machine['id']}", f"state={machine['state']}"]

    def do_remove(self, state, values, _):
        machine = state["machines"].get(values["Name"])
        if machine and machine["notes"] == "wherry-key: " + values["Key"]:
            del state["machines"][values["Name"]]
            return ["removed=yes"]
        return []
