//! What makes a shell ask crilet. PROGRAM stands for the program's name, and ASKED_BY for the word that
//! makes it answer.

use super::Shell;

pub(super) fn of(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
    }
}

/// bash takes words apart at colons and equals signs, which names of images have: the line is read
/// anew, and of a candidate only what is behind the last of them is for bash.
const BASH: &str = r#"# bash completion for PROGRAM
_PROGRAM() {
  local line=${COMP_LINE:0:COMP_POINT} word prefix='' candidate
  local -a words=()
  read -ra words <<<"$line"
  case $line in *[[:space:]]) words+=('') ;; esac
  word=${words[${#words[@]} - 1]}
  case $word in *[=:]*) prefix=${word%"${word##*[=:]}"} ;; esac
  COMPREPLY=()
  while IFS= read -r candidate; do
    case $candidate in
      :nospace) compopt -o nospace 2>/dev/null ;;
      :files)
        compopt -o filenames 2>/dev/null
        while IFS= read -r candidate; do
          COMPREPLY+=("$candidate")
        done < <(compgen -f -- "${word#"$prefix"}")
        ;;
      *) COMPREPLY+=("${candidate#"$prefix"}") ;;
    esac
  done < <("${words[0]}" ASKED_BY bash -- "${words[@]}" 2>/dev/null)
}
complete -F _PROGRAM PROGRAM
"#;

const ZSH: &str = r#"#compdef PROGRAM
_PROGRAM() {
  local -a candidates
  local line files=
  for line in "${(@f)$("${(Q)words[1]}" ASKED_BY zsh -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
    case $line in
      :nospace|'') ;;
      :files) files=1 ;;
      *) candidates+=("$line") ;;
    esac
  done
  (( ${#candidates} )) && _describe -V PROGRAM candidates
  [[ -n $files ]] && _files
  return 0
}
if [[ "${funcstack[1]}" == _PROGRAM ]]; then
  _PROGRAM "$@"
else
  compdef _PROGRAM PROGRAM
fi
"#;

const FISH: &str = r#"# fish completion for PROGRAM
function __PROGRAM_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    for line in ($words[1] ASKED_BY fish -- $words $word 2>/dev/null)
        switch $line
            case ':nospace'
            case ':files'
                __fish_complete_path $word
            case '*'
                echo $line
        end
    end
end
complete -c PROGRAM -f -a '(__PROGRAM_complete)'
"#;
