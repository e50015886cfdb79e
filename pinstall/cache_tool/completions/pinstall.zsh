# zsh completion of pinstall and pinstall-cache. In ~/.zshrc, behind compinit:
#     source <(pinstall-cache completion zsh)

# pip knows its own options: it is asked as its own completion asks it, for what comes behind "pip install".
_pinstall() {
    local pip=${$(whence -p -- $words[1]):h}/pip
    local -a found
    [[ -x $pip ]] || pip=pip
    found=(${(f)"$(
        COMP_WORDS="pip install ${words[2,-1]}" COMP_CWORD=$CURRENT PIP_AUTO_COMPLETE=1 $pip 2>/dev/null
    )"})
    [[ $words[CURRENT] == --* ]] && found+=(--explain)
    case $words[CURRENT-1] in
        -r | --requirement | -c | --constraint) _files ;;
        *) [[ -n $found ]] && compadd -- $found || _files ;;
    esac
}

_pinstall_cache() {
    local command=${${(M)words[2,CURRENT-1]:#(dir|info|list|show|remove|purge|verify|restore|prune|stats|shared|doctor|map|completion)}[1]}
    local -a choices
    case $words[CURRENT-1] in
        --cache-dir | --python | --html) _files; return ;;
        --columns) choices=(project version file kind size age used origin where) ;;
        --format) choices=(human abspath json) ;;
        --older-than) choices=(7d 30d 90d) ;;
        completion) choices=(bash fish zsh) ;;
        *)
            case $command in
                '') choices=(dir info list show remove purge verify restore prune stats shared doctor map completion) ;;
                list) choices=(--format --columns) ;;
                verify) choices=(--fix) ;;
                prune) choices=(--older-than --dry-run) ;;
                stats) choices=(--zero) ;;
                map) choices=(--html) ;;
            esac
            choices+=(--cache-dir --python --help)
            ;;
    esac
    compadd -- $choices
}

compdef _pinstall pinstall
compdef _pinstall_cache pinstall-cache
