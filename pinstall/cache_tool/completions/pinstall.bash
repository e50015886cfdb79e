# bash completion of pinstall and pinstall-cache. In ~/.bashrc:
#     source <(pinstall-cache completion bash)

# pip knows its own options: it is asked as its own completion asks it, for what comes behind "pip install".
_pinstall() {
    local IFS=$' \t\n' pinstall pip
    pinstall=$(type -P -- "$1") || return
    pip=${pinstall%/*}/pip
    [[ -x $pip ]] || pip=pip
    COMPREPLY=($(
        COMP_WORDS="pip install ${COMP_WORDS[*]:1}" COMP_CWORD=$((COMP_CWORD + 1)) PIP_AUTO_COMPLETE=1 "$pip" 2>/dev/null
    ))
    [[ ${COMP_WORDS[COMP_CWORD]} == --* && --explain == "${COMP_WORDS[COMP_CWORD]}"* ]] && COMPREPLY+=(--explain)
    return 0
}

_pinstall_cache() {
    local current=${COMP_WORDS[COMP_CWORD]} word command='' choices
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in dir | info | list | show | remove | purge | verify | restore | prune | stats | shared | doctor | map | completion) command=$word && break ;; esac
    done
    case ${COMP_WORDS[COMP_CWORD - 1]} in
        --cache-dir | --python) return ;; # a path: bash's own
        --html) return ;;
        --columns) choices='project version file kind size age used origin where' ;;
        --format) choices='human abspath json' ;;
        --older-than) choices='7d 30d 90d' ;;
        completion) choices='bash fish zsh' ;;
        *)
            case $command in
                '') choices='dir info list show remove purge verify restore prune stats shared doctor map completion' ;;
                list) choices='--format --columns' ;;
                verify) choices='--fix' ;;
                prune) choices='--older-than --dry-run' ;;
                stats) choices='--zero' ;;
                shared) choices='list verify prune --older-than --dry-run' ;;
                map) choices='--html' ;;
            esac
            choices="$choices --cache-dir --python --help"
            ;;
    esac
    COMPREPLY=($(compgen -W "$choices" -- "$current"))
}

complete -o default -F _pinstall pinstall
complete -o default -F _pinstall_cache pinstall-cache
