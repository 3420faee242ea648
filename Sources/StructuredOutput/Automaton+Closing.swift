// SPDX-License-Identifier: Apache-2.0

extension Automaton {
    /// The bytes that end the text of a reading. Whichever first bytes of them are read, the rest is what ends the text
    /// then: so steering towards it always arrives.
    func closing(of reading: Reading) -> [UInt8] {
        guard let top = reading.top else { return [] }
        var bytes = closing(of: top), stack = reading.below
        while let next = stack {
            bytes += closing(of: next.frame)
            stack = next.below
        }
        return bytes
    }

    private func closing(of frame: Frame) -> [UInt8] {
        switch (frame.phase, node(frame)) {
        case (.start, _): return grammar.shortest[Int(frame.node)]
        case (_, .string(let least, _)): return textClosing(frame, least: least)
        case (_, .amount(let range)): return amountClosing(frame, range)
        case (_, .pattern(let table)): return table.closing(of: Int(frame.a)) + Array("\"".utf8)
        case (.minus, _), (.point, _): return Array("0".utf8)
        case (_, .integer(let range)): return frame.integerPrefix.completion(in: range) ?? []
        case (_, .literals(let texts)):
            let length = Int(frame.a), start = texts[Int(frame.b)].prefix(length)
            let shortest = texts.filter { $0.starts(with: start) }.min { $0.count < $1.count }
            return Array(shortest?.dropFirst(length) ?? [])
        case (_, .object(let properties, let required)): return objectClosing(frame, properties, required)
        case (.mapColon, .map(let values)): return Array(":".utf8) + grammar.shortest[values] + Array("}".utf8)
        case (.mapNext, .map(let values)): return Array("\"\":".utf8) + grammar.shortest[values] + Array("}".utf8)
        case (_, .map): return Array("}".utf8)
        case (_, .array(let items, let least, _)):
            var bytes: [UInt8] = [], count = Int(frame.a)
            while count < least {
                if count > 0 { bytes.append(UInt8(ascii: ",")) }
                bytes += grammar.shortest[items]
                count += 1
            }
            return bytes + Array("]".utf8)
        default: return []
        }
    }

    private func textClosing(_ frame: Frame, least: Int) -> [UInt8] {
        var bytes: [UInt8] = [], count = Int(frame.a)
        switch frame.phase {
        case .textEscape: bytes = Array("n".utf8)
        case .textUnicode: bytes = Array(repeating: UInt8(ascii: "0"), count: 4 - frame.hexadecimal.count)
        case .textBytes:
            let missing = frame.missing
            bytes = [missing.next.lowerBound] + Array(repeating: 0x80, count: missing.count - 1)
        default: count -= 1
        }
        count += 1
        return bytes + Array(repeating: Grammar.filler, count: max(0, least - count)) + Array("\"".utf8)
    }

    private func objectClosing(_ frame: Frame, _ properties: [Grammar.Property], _ required: UInt64) -> [UInt8] {
        var left = frame.b, bytes: [UInt8] = []
        func write(_ place: Int, from length: Int) {
            bytes +=
                properties[place].key.dropFirst(length) + Array(":".utf8) + grammar.shortest[properties[place].value]
            left &= ~(1 << UInt64(place))
        }
        switch frame.phase {
        case .objectColon: bytes = Array(":".utf8) + grammar.shortest[properties[Int(frame.a)].value]
        case .objectKey:
            let length = Int(frame.a & 0xffff), start = properties[Int(frame.a >> 16)].key.prefix(length)
            let candidates = properties.indices.filter {
                left >> UInt64($0) & 1 == 1 && properties[$0].key.starts(with: start)
            }
            write(candidates.first { required >> UInt64($0) & 1 == 1 } ?? candidates[0], from: length)
        case .objectNext:
            let open = left & required
            write((open == 0 ? left : open).trailingZeroBitCount, from: 0)
        default: break
        }
        var needsComma = frame.phase != .objectOpen
        while left & required != 0 {
            if needsComma { bytes.append(UInt8(ascii: ",")) }
            needsComma = true
            write((left & required).trailingZeroBitCount, from: 0)
        }
        return bytes + Array("}".utf8)
    }
}
