// SPDX-License-Identifier: Apache-2.0

// Objects and arrays.
extension Automaton {
    func object(_ top: Frame, _ reading: Reading, _ byte: UInt8, _ result: inout [Reading]) {
        guard case .object(let properties, let required) = node(top) else { return }
        func become(_ phase: Frame.Phase, a: Int = 0, b: UInt64) {
            append(reading.replacing(top.with(phase, a: a, b: b)), to: &result)
        }
        switch top.phase {
        case .objectOpen where byte == UInt8(ascii: "}"), .objectValue where byte == UInt8(ascii: "}"):
            if top.b & required == 0 { append(reading.popped, to: &result) }
        case .objectValue where byte == UInt8(ascii: ","): if top.b != 0 { become(.objectNext, a: 1, b: top.b) }
        case .objectNext where byte == UInt8(ascii: " ") && top.a == 1: become(.objectNext, b: top.b)
        case .objectOpen, .objectNext:
            if byte == UInt8(ascii: "\""), top.b != 0 {
                become(.objectKey, a: top.b.trailingZeroBitCount << 16 | 1, b: top.b)
            }
        case .objectKey:
            let length = Int(top.a & 0xffff), start = properties[Int(top.a >> 16)].key.prefix(length)
            let next = properties.indices.first { place in
                let key = properties[place].key
                return top.b >> UInt64(place) & 1 == 1 && key.count > length && key[length] == byte
                    && key.starts(with: start)
            }
            guard let next else { return }
            if length + 1 < properties[next].key.count {
                return become(.objectKey, a: next << 16 | length + 1, b: top.b)
            }
            become(.objectColon, a: next, b: top.b & ~(1 << UInt64(next)))
        case .objectColon:
            guard byte == UInt8(ascii: ":") else { return }
            let value = Frame(properties[Int(top.a)].value, .start, a: 1)
            append(reading, value: value, in: top.with(.objectValue, a: 0, b: top.b), to: &result)
        default: return
        }
    }

    func map(_ top: Frame, _ reading: Reading, _ byte: UInt8, _ result: inout [Reading]) {
        guard case .map(let values) = node(top) else { return }
        switch top.phase {
        case .mapOpen where byte == UInt8(ascii: "}"), .mapValue where byte == UInt8(ascii: "}"):
            append(reading.popped, to: &result)
        case .mapValue where byte == UInt8(ascii: ","):
            if grammar.fits(values, at: reading.depth + 1) {
                append(reading.replacing(top.with(.mapNext, a: 1, b: 0)), to: &result)
            }
        case .mapNext where byte == UInt8(ascii: " ") && top.a == 1:
            append(reading.replacing(top.with(.mapNext, a: 0, b: 0)), to: &result)
        case .mapOpen, .mapNext:
            guard byte == UInt8(ascii: "\""), grammar.fits(values, at: reading.depth + 1) else { return }
            append(reading.pushing(Frame(Int(Frame.keyNode), .text), in: top.with(.mapColon, a: 0, b: 0)), to: &result)
        case .mapColon:
            guard byte == UInt8(ascii: ":") else { return }
            append(reading, value: Frame(values, .start, a: 1), in: top.with(.mapValue, a: 0, b: 0), to: &result)
        default: return
        }
    }

    func array(_ top: Frame, _ reading: Reading, _ byte: UInt8, _ result: inout [Reading]) {
        guard case .array(let items, let least, let most) = node(top) else { return }
        let count = Int(top.a), next = most == nil ? min(count + 1, max(1, least)) : count + 1
        let item = top.with(.arrayItem, a: next, b: 0), hasRoom = most.map { count < $0 } ?? true
        if byte == UInt8(ascii: "]") {
            if count >= least { append(reading.popped, to: &result) }
        } else if top.phase == .arrayItem {
            if byte == UInt8(ascii: ","), hasRoom {
                append(reading, value: Frame(items, .start, a: 1), in: item, to: &result)
            }
        } else if hasRoom {
            var begun: [Reading] = []
            append(reading, value: Frame(items, .start), in: item, to: &begun)
            for reading in begun { step(reading, byte, &result) }
        }
    }
}
