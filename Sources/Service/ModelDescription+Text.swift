// SPDX-License-Identifier: Apache-2.0

extension ModelDescription {
    /// The description in lines.
    public var text: String {
        let types = tensorTypes.sorted { $0.key < $1.key }.map { "\($0.value) x \($0.key)" }.joined(separator: ", ")
        let window = slidingWindow.map { ", sliding window \($0)" } ?? ""
        var lines = [
            name, "  \(format == "gguf" ? "file  " : "folder")        \(path) (\(formatByteCount(bytes)))",
            "  parameters    \(parameters / 1_000_000) million (\(types))",
        ]
        // Of an unknown architecture no more is known.
        if layers > 0 {
            lines += [
                "  architecture  \(architecture), \(layers) layers, \(heads) query heads, \(kvHeads) KV heads of \(headDimension)",
                "  context       \(contextLength) tokens\(window), RoPE scaling \(ropeScaling), vocabulary \(vocabulary)",
            ]
        }
        if let machine, let int8 = kvBytesPerToken["int8"], let half = kvBytesPerToken["f16"] {
            lines.append(
                "  KV cache      \(int8) bytes a token in int8 (\(half) in f16), \(formatByteCount(int8 * contextLength)) for a full context"
            )
            lines.append("  this machine  \(machine.text)")
        }
        if !advisedSampling.isEmpty {
            let advice = advisedSampling.sorted { $0.key < $1.key }.map { name, value in
                "\(name) \(Int(exactly: value).map(String.init) ?? String(value))"
            }
            lines.append(
                "  sampling      its makers advise \(advice.joined(separator: ", ")), in force where jobs say nothing else"
            )
        }
        if let chatProblem { lines.append("  conversations no: " + chatProblem) }
        guard !unsupported.isEmpty else { return (lines + ["  can be run    yes"]).joined(separator: "\n") }
        return (lines + unsupported.map { "  can be run    no: " + $0 }).joined(separator: "\n")
    }
}
