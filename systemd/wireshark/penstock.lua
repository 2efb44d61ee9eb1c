-- Wireshark dissector of what Penstock boxes send each other (PROTOCOL.md, "Binding messages" and "Directors"):
-- binding messages in EtherType 0x88B5 and in UDP 7471, directors' messages in UDP 7473, and tenants' frames in IP
-- protocol 143. `make install` puts this file where Wireshark and tshark load it.
-- Without that: tshark -X lua_script:penstock.lua. Where fabric.udp_port is not 7472: tshark -o penstock.udp_port:PORT.

local MAGIC, VERSION = 0x5053, 1
local BODY, MORE, TAG = 40, 16, 16 -- octets
local IPV6, TAGGED = 0x01, 0x02 -- flags

local opcodes = {
    [1] = "WHERE", [2] = "HERE", [3] = "NOT-HERE", [4] = "HELLO", [5] = "PULL", [6] = "PAGE", [7] = "PROBE",
    [8] = "ECHO",
}
local director_opcodes = { [4] = "HELLO", [5] = "FLOWS" }
local server_states = { [0] = "init", [1] = "up", [2] = "down" }
local flow_states = { [1] = "half-open", [2] = "established", [3] = "closing", [4] = "closed", [5] = "udp" }

local penstock = Proto("penstock", "Penstock binding message")
local f = {
    magic = ProtoField.uint16("penstock.magic", "Magic", base.HEX),
    version = ProtoField.uint8("penstock.version", "Version"),
    opcode = ProtoField.uint8("penstock.opcode", "Opcode", base.DEC, opcodes),
    flags = ProtoField.uint16("penstock.flags", "Flags", base.HEX),
    ipv6_flag = ProtoField.bool("penstock.flags.ipv6", "IPv6 address or summary follows", 16, nil, 0x01),
    tag_flag = ProtoField.bool("penstock.flags.tag", "Tag follows", 16, nil, 0x02),
    add_flag = ProtoField.bool("penstock.flags.add", "One more address of the same binding", 16, nil, 0x04),
    static_flag = ProtoField.bool("penstock.flags.static", "Configured, not learned", 16, nil, 0x08),
    vtep_flag = ProtoField.bool("penstock.flags.vtep", "Behind a VTEP", 16, nil, 0x10),
    last_flag = ProtoField.bool("penstock.flags.last", "Last frame of a pull", 16, nil, 0x20),
    solicit_flag = ProtoField.bool("penstock.flags.solicit", "Asks for HELLOs", 16, nil, 0x40),
    key = ProtoField.uint8("penstock.key_id", "Key ID"),
    zero = ProtoField.uint8("penstock.zero", "Zero", base.HEX),
    sequence = ProtoField.uint64("penstock.sequence", "Sequence"),
    time = ProtoField.absolute_time("penstock.time", "Sequence as a time", base.UTC),
    tenant = ProtoField.uint24("penstock.tenant", "Tenant ID"),
    segment = ProtoField.uint24("penstock.segment", "Segment ID"),
    mac = ProtoField.ether("penstock.mac", "MAC"),
    ip4 = ProtoField.ipv4("penstock.ipv4", "IPv4 address"),
    ip6 = ProtoField.ipv6("penstock.ipv6", "IPv6 address"),
    switch = ProtoField.ether("penstock.switch", "Edge switch"),
    port = ProtoField.uint16("penstock.port", "Switch port"),
    count = ProtoField.uint32("penstock.hello.count", "Bindings that the sender owns"),
    digest = ProtoField.uint64("penstock.hello.digest", "Digest of them", base.HEX),
    held = ProtoField.uint32("penstock.hello.held", "Seconds that the sender has its place"),
    frames = ProtoField.uint32("penstock.pull.frames", "Frames asked for"),
    vid = ProtoField.uint24("penstock.probe.vlan", "VLAN ID of the path"),
    number = ProtoField.uint32("penstock.probe.number", "Number"),
    tag = ProtoField.bytes("penstock.tag", "Tag"),
    service = ProtoField.uint24("penstock.director.service", "Service ID"),
    servers = ProtoField.uint16("penstock.director.servers", "Servers"),
    table = ProtoField.uint64("penstock.director.digest", "Digest of the table", base.HEX),
    state = ProtoField.uint8("penstock.director.server_state", "Server", base.DEC, server_states),
    entries = ProtoField.uint16("penstock.director.count", "Entries"),
    director_opcode = ProtoField.uint8("penstock.director.opcode", "Opcode", base.DEC, director_opcodes),
    family = ProtoField.uint8("penstock.flow.family", "Family"),
    flow_state = ProtoField.uint8("penstock.flow.state", "State", base.DEC, flow_states),
    client_port = ProtoField.uint16("penstock.flow.client_port", "Client port"),
    server_port = ProtoField.uint16("penstock.flow.server_port", "Server port"),
    client4 = ProtoField.ipv4("penstock.flow.client4", "Client"),
    client6 = ProtoField.ipv6("penstock.flow.client6", "Client"),
}
local fields = {}
for _, field in pairs(f) do fields[#fields + 1] = field end
penstock.fields = fields

local malformed = ProtoExpert.new("penstock.malformed", "Malformed message", expert.group.MALFORMED,
    expert.severity.ERROR)
local unknown = ProtoExpert.new("penstock.unknown", "Unknown opcode", expert.group.UNDECODED, expert.severity.WARN)
penstock.experts = { malformed, unknown }

-- sequence_time adds a sequence as the time that it most probably is: nanoseconds since 1970.
local function sequence_time(tree, at)
    local n = at:uint64()
    local seconds = (n / 1000000000):tonumber()
    if seconds > 1000000000 and seconds < 4294967296 then
        tree:add(f.time, at, NSTime.new(seconds, (n % 1000000000):tonumber())):set_generated()
    end
end

local function header(tree, at)
    tree:add(f.magic, at(0, 2))
    tree:add(f.version, at(2, 1))
end

local function flags(tree, at)
    local t = tree:add(f.flags, at)
    for _, field in ipairs({ f.ipv6_flag, f.tag_flag, f.add_flag, f.static_flag, f.vtep_flag, f.last_flag,
        f.solicit_flag }) do
        t:add(field, at)
    end
end

-- body adds the body at the start of tvb. It returns its length, whether a tag follows, and a line about it; nil if
-- there is no whole body of this version.
local function body(tvb, root)
    if tvb:len() < BODY or tvb(0, 2):uint() ~= MAGIC or tvb(2, 1):uint() ~= VERSION then return nil end
    local op, bits = tvb(3, 1):uint(), tvb(4, 2):uint()
    local more = bit.band(bits, IPV6) ~= 0
    local n = more and BODY + MORE or BODY
    if tvb:len() < n then return nil end
    local tree = root:add(penstock, tvb(0, n))
    header(tree, tvb)
    local opcode = tree:add(f.opcode, tvb(3, 1))
    flags(tree, tvb(4, 2))
    tree:add(f.key, tvb(6, 1))
    tree:add(f.zero, tvb(7, 1))
    tree:add(f.sequence, tvb(8, 8))
    local name = opcodes[op]
    if not name then
        name = "opcode " .. op
        opcode:add_proto_expert_info(unknown)
    end
    local place = string.format("%s/%d", tostring(tvb(32, 6):ether()), tvb(38, 2):uint())
    local vif = string.format("%d/%d %s", tvb(16, 3):uint(), tvb(19, 3):uint(), tostring(tvb(22, 6):ether()))
    local text
    if op == 7 or op == 8 then
        tree:add(f.tenant, tvb(16, 3))
        tree:add(f.vid, tvb(19, 3))
        tree:add(f.mac, tvb(22, 6))
        tree:add(f.number, tvb(28, 4))
        text = string.format("%s %d in VLAN %d, place %s", name, tvb(28, 4):uint(), tvb(19, 3):uint(), place)
    else
        sequence_time(tree, tvb(8, 8))
        tree:add(f.tenant, tvb(16, 3))
        tree:add(f.segment, tvb(19, 3))
        tree:add(f.mac, tvb(22, 6))
        if op == 5 then
            tree:add(f.frames, tvb(28, 4))
            text = string.format("%s after %s, %d frames, of %s", name, vif, tvb(28, 4):uint(), place)
        else
            tree:add(f.ip4, tvb(28, 4))
            local address = tvb(28, 4):uint() ~= 0 and " " .. tostring(tvb(28, 4):ipv4()) or ""
            if more and op ~= 4 then address = address .. " " .. tostring(tvb(40, 16):ipv6()) end
            if op == 4 then
                text = string.format("%s of %s at %s", name, tostring(tvb(22, 6):ether()), place)
            elseif op == 6 then
                text = string.format("%s after %s, of %s", name, vif, place)
            else
                text = string.format("%s %s%s at %s", name, vif, address, place)
            end
        end
    end
    tree:add(f.switch, tvb(32, 6))
    tree:add(f.port, tvb(38, 2))
    if more and op == 4 then
        tree:add(f.count, tvb(40, 4))
        tree:add(f.digest, tvb(44, 8))
        tree:add(f.held, tvb(52, 4))
        text = text .. string.format(", %d bindings", tvb(40, 4):uint())
    elseif more then
        tree:add(f.ip6, tvb(40, 16))
    end
    tree:append_text(", " .. text)
    return n, bit.band(bits, TAGGED) ~= 0, text
end

local function fault(root, at, text)
    root:add(penstock, at):add_proto_expert_info(malformed, text)
end

-- Ethernet pads frames to 60 octets: what is all zero behind the last body is no message.
local function padding(tvb)
    for i = 0, tvb:len() - 1 do
        if tvb(i, 1):uint() ~= 0 then return false end
    end
    return true
end

local function bodies(tvb, pinfo, root, ethernet)
    local at, first, count = 0, nil, 0
    while at < tvb:len() do
        local rest = tvb(at):tvb()
        local n, tagged, text = body(rest, root)
        if not n then
            if not (ethernet and count > 0 and padding(rest)) then
                fault(root, tvb(at), "no whole body of version 1")
            end
            break
        end
        first, count, at = first or text, count + 1, at + n
        if tagged then
            if tvb:len() < at + TAG then
                fault(root, tvb(at - n), "the tag is cut off")
            else
                root:add(penstock, tvb(at, TAG)):add(f.tag, tvb(at, TAG))
            end
            break
        end
    end
    if count > 0 then
        pinfo.cols.protocol = "PENSTOCK"
        pinfo.cols.info = count == 1 and first or string.format("%s, and %d more", first, count - 1)
    end
    return tvb:len()
end

function penstock.dissector(tvb, pinfo, root) return bodies(tvb, pinfo, root, true) end

local binding_udp = Proto("penstock_udp", "Penstock binding message in UDP")
function binding_udp.dissector(tvb, pinfo, root) return bodies(tvb, pinfo, root, false) end

local director = Proto("penstock_director", "Penstock directors' message")

local function hello(tree, rest)
    if rest:len() < 16 then return nil end
    local n = 16 + rest(6, 2):uint()
    if rest:len() < n then return nil end
    local t = tree:add(director, rest(0, n), string.format("Service %d/%d", rest(0, 3):uint(), rest(3, 3):uint()))
    t:add(f.tenant, rest(0, 3))
    t:add(f.service, rest(3, 3))
    t:add(f.servers, rest(6, 2))
    t:add(f.table, rest(8, 8))
    for i = 16, n - 1 do t:add(f.state, rest(i, 1)) end
    return n
end

local function flow(tree, rest)
    if rest:len() < 24 then return nil end
    local n = rest(6, 1):uint() == 6 and 36 or 24
    if rest:len() < n then return nil end
    local t = tree:add(director, rest(0, n),
        string.format("Flow of service %d/%d", rest(0, 3):uint(), rest(3, 3):uint()))
    t:add(f.tenant, rest(0, 3))
    t:add(f.service, rest(3, 3))
    t:add(f.family, rest(6, 1))
    t:add(f.flow_state, rest(7, 1))
    t:add(f.client_port, rest(8, 2))
    t:add(f.server_port, rest(10, 2))
    t:add(f.mac, rest(12, 6))
    if n == 36 then t:add(f.client6, rest(20, 16)) else t:add(f.client4, rest(20, 4)) end
    return n
end

function director.dissector(tvb, pinfo, root)
    if tvb:len() < 16 or tvb(0, 2):uint() ~= MAGIC or tvb(2, 1):uint() ~= VERSION then return 0 end
    local op, tagged, count = tvb(3, 1):uint(), bit.band(tvb(4, 2):uint(), TAGGED) ~= 0, tvb(6, 2):uint()
    local tree = root:add(director, tvb())
    header(tree, tvb)
    tree:add(f.director_opcode, tvb(3, 1))
    flags(tree, tvb(4, 2))
    tree:add(f.entries, tvb(6, 2))
    tree:add(f.sequence, tvb(8, 8))
    sequence_time(tree, tvb(8, 8))
    local last = tagged and tvb:len() - TAG or tvb:len()
    local entry, at = op == 4 and hello or op == 5 and flow or nil, 16
    local whole = entry ~= nil
    for _ = 1, entry and count or 0 do
        local n = at < last and entry(tree, tvb(at, last - at):tvb())
        if not n then
            tree:add_proto_expert_info(malformed, "an entry is cut off")
            whole = false
            break
        end
        at = at + n
    end
    if tagged and last >= 16 then
        tree:add(f.tag, tvb(last, TAG))
    elseif tagged then
        tree:add_proto_expert_info(malformed, "the tag is cut off")
    end
    if whole and at < last then
        tree:add_proto_expert_info(malformed, "octets follow the last entry")
    end
    pinfo.cols.protocol = "PENSTOCK"
    pinfo.cols.info = string.format("director's %s, %d entries", director_opcodes[op] or "opcode " .. op, count)
    return tvb:len()
end

DissectorTable.get("ethertype"):add(0x88B5, penstock)
local udp = DissectorTable.get("udp.port")
udp:add(7471, binding_udp)
udp:add(7473, director)

-- Behind protocol 143 is an Ethernet frame without FCS (RFC 8986, 10.1).
local ethernet = Dissector.get("eth_withoutfcs")
if ethernet then
    DissectorTable.get("ip.proto"):set(143, ethernet)
    -- Or in UDP, with encap = "udp". The preference is fabric.udp_port; 0 is none.
    local at = 7472
    penstock.prefs.udp_port = Pref.uint("UDP port of tenants' frames", at,
        "The boxes' fabric.udp_port; 0 leaves it to Wireshark what is in UDP")
    udp:add(at, ethernet)
    function penstock.prefs_changed()
        local port = penstock.prefs.udp_port
        if port == at or port > 65535 then return end
        if at ~= 0 then udp:remove(at, ethernet) end
        at = port
        if at ~= 0 then udp:add(at, ethernet) end
    end
end
