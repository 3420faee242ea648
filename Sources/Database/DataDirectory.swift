// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Where deltakv keeps its data when nothing else is said.
public enum DataDirectory {
    /// `DELTAKV_DATA`, else /var/lib/deltakv for root, else `$XDG_DATA_HOME/deltakv` or ~/.local/share/deltakv.
    /// Throws when an ordinary user has no home directory.
    public static func standard(environment: [String: String]) throws(DatabaseError) -> String {
        func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        if let path = value("DELTAKV_DATA") { return path }
        if geteuid() == 0 { return "/var/lib/deltakv" }
        // A relative path in this variable is to be ignored (XDG Base Directory Specification).
        if let base = value("XDG_DATA_HOME"), base.hasPrefix("/") { return "\(base)/deltakv" }
        if let home = value("HOME") { return "\(home)/.local/share/deltakv" }
        throw DatabaseError("There is no HOME to keep data under; name a data directory in DELTAKV_DATA.")
    }
}
